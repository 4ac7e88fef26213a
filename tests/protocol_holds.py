"""Database of the protocol in memory, second part: the statements of workers.

A child holds a message under a nonce, its receipt. Of a list the first execution begins with the hold and each of the
others with the settlement of the one before it; only a beginning raises a fence.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import JobState
from tests.protocol_rows import HeldRow, Hint, Id, LiveRow, Turnover
from tests.protocol_settlements import Settlements


class Holds(Settlements):
    """Holds, beginnings and leases."""

    def hold(self, hint: Hint, worker: Id | str, nonce: Id | str, *, skew: float = 0.0) -> list[LiveRow]:
        """Take the executions of a message, and begin them: of a list only the first; return those that are taken.

        Repeated under the same nonce it changes nothing but leases, and returns the same.
        """
        rows = [
            live
            for id_ in hint.executions
            if (live := self.live.get(id_)) and live.token == hint.token and self.may_hold(live, nonce)
        ]
        may_begin = self.may_begin_any(rows)
        for live in rows:
            self.wait_for(live.id)
            live.worker, live.hold = worker, nonce
            live.lease_expires_at = self.lease_end(skew)
            if may_begin and not live.has_begun and (not live.is_list or live is rows[0]):
                self.begin(live)
        return rows

    def may_begin_any(self, rows: list[LiveRow]) -> bool:
        """Return whether this is the first hold: a repeat may arrive when the child has come further."""
        return all(live.hold is None for live in rows)

    def may_hold(self, live: LiveRow, nonce: Id | str) -> bool:
        return live.hold is None or live.hold == nonce

    def begin(self, live: LiveRow) -> None:
        live.has_begun = True
        live.fence += 1
        live.job.fence = live.fence
        live.job.enter(JobState.EXECUTING)
        self.begins.append((live.id, live.hold))

    def begin_next(self, nonce: Id | str, ids: Sequence[Id], *, skew: float = 0.0) -> LiveRow | None:
        """Begin the first of ``ids`` that the hold still has; pass over those that are locked, gone or cancelled."""
        for id_ in ids:
            live = self.live.get(id_)
            if live is not None and id_ not in self.locked and self.may_begin(live, nonce):
                live.lease_expires_at = self.lease_end(skew)
                self.begin(live)
                return live
        return None

    def may_begin(self, live: LiveRow, nonce: Id | str) -> bool:
        is_ready = live.job.state is JobState.DISPATCHED and live.job.fence == live.fence
        return live.hold == nonce and not live.has_begun and not live.is_cancel_requested and is_ready

    def settle_and_begin(
        self, new_settlement: Settlement, nonce: Id | str, ids: Sequence[Id], *, skew: float = 0.0
    ) -> Turnover:
        """Settle an execution, and begin the next: the joint statement.

        Without its settlement it begins nothing: it may arrive after the child has begun the next by another statement.
        """
        is_settled = self.settle(new_settlement)
        begun = self.begin_next(nonce, ids, skew=skew) if is_settled else None
        return Turnover(is_settled, None if begun is None else held_row(begun))

    def begin_here(self, nonce: Id | str, ids: Sequence[Id], *, skew: float = 0.0) -> HeldRow | None:
        """Begin the next execution of a list, after waiting for locks.

        One that the hold began and never ran, because the answer was lost, comes first.
        """
        for id_ in ids:
            live = self.live.get(id_)
            if live is not None and live.hold == nonce and live.has_begun:
                return held_row(live)
            self.wait_for(id_)
        begun = self.begin_next(nonce, ids, skew=skew)
        return None if begun is None else held_row(begun)

    def read_hold(self, nonce: Id | str) -> list[HeldRow]:
        """Read what is left of a hold."""
        return [held_row(live) for live in self.live.values() if live.hold == nonce]

    def heartbeat(self, worker: Id | str, ids: Collection[Id], *, skew: float = 0.0) -> dict[Id, LiveRow]:
        """Renew the leases of executions that are still the worker's; return them."""
        self.beats[worker] = self.now
        ours = {id_: live for id_ in ids if (live := self.live.get(id_)) and live.worker == worker}
        for live in ours.values():
            if live.id not in self.locked and self.is_renewed(live):
                live.lease_expires_at = self.lease_end(skew)
        return ours

    def is_renewed(self, live: LiveRow) -> bool:
        """Return whether a heartbeat renews the lease of an execution that the worker has."""
        del live
        return True

    def lease_end(self, skew: float) -> float:
        """Return the end of a lease by the store's clock, regardless of the worker's."""
        del skew
        return self.now + self.lease_seconds


def held_row(live: LiveRow) -> HeldRow:
    return HeldRow(live.id, live.fence, live.has_begun)
