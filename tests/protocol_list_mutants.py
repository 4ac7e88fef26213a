"""Protocols with planted bugs of prefetch lists, each of which the checks must detect."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling.execution.settlement import Settlement
from tests.protocol_actors import Child, Phase
from tests.protocol_holds import held_row
from tests.protocol_random_walk import Walk
from tests.protocol_rows import HeldRow, Hint, Id, JobRow, LiveRow, Turnover
from tests.protocol_settlements import COST_US
from tests.protocol_store import Store

# Statements and ticks ----------------------------------------------------------------------------------------


class HoldRaisesFences(Store):
    """Store in which a settlement by the fence of the claim does not find a held execution."""

    def hold(self, hint: Hint, worker: Id | str, nonce: Id | str, *, skew: float = 0.0) -> list[LiveRow]:
        free = [id_ for id_ in hint.executions if (live := self.live.get(id_)) and live.hold is None]
        rows = super().hold(hint, worker, nonce, skew=skew)
        for live in rows:
            live.fence += live.id in free and not live.has_begun
        return rows


class HoldsTwice(Store):
    """Store in which a duplicate of a message takes executions from the child that holds them."""

    def may_hold(self, live: LiveRow, nonce: Id | str) -> bool:
        return True


class BeginsAgain(Store):
    """Store in which a hold that is repeated, because its answer was lost, begins again."""

    def hold(self, hint: Hint, worker: Id | str, nonce: Id | str, *, skew: float = 0.0) -> list[LiveRow]:
        again = [live for id_ in hint.executions if (live := self.live.get(id_)) and live.hold == nonce]
        for live in again:
            if live.has_begun:
                self.begin(live)
        return super().hold(hint, worker, nonce, skew=skew)


class BeginsWithoutSettling(Store):
    """Store in which a joint statement begins an execution even if another statement has settled the one before."""

    def settle_and_begin(
        self, new_settlement: Settlement, nonce: Id | str, ids: Sequence[Id], *, skew: float = 0.0
    ) -> Turnover:
        is_settled = self.settle(new_settlement)
        begun = self.begin_next(nonce, ids, skew=skew)
        return Turnover(is_settled, None if begun is None else held_row(begun))


class RollsBackWithTheBeginning(Store):
    """Store in which a settlement is lost if the next execution cannot begin."""

    def settle_and_begin(
        self, new_settlement: Settlement, nonce: Id | str, ids: Sequence[Id], *, skew: float = 0.0
    ) -> Turnover:
        free = [live for id_ in ids if (live := self.live.get(id_)) and id_ not in self.locked]
        if ids and not any(self.may_begin(live, nonce) for live in free):
            return Turnover(is_settled=True, begun=None)
        return super().settle_and_begin(new_settlement, nonce, ids, skew=skew)


class BeginsInAnyOrder(Store):
    def begin_next(self, nonce: Id | str, ids: Sequence[Id], *, skew: float = 0.0) -> LiveRow | None:
        return super().begin_next(nonce, ids[::-1], skew=skew)


class RepublishesHeld(Store):
    """Store in which executions of a list are published again until they begin."""

    def is_lost_message(self, live: LiveRow) -> bool:
        return not live.has_begun


class SplitsMessages(Store):
    """Store in which a locked execution keeps its old token while the others of its message get a new one."""

    def kept_from_renewal(self, rows: list[LiveRow]) -> set[Id]:
        return set()


class RescuesHeldAsCrashed(Store):
    def end_of_lost(self, live: LiveRow) -> Settlement:
        return self.crash_of(live)


class BlamesForLostLeases(Store):
    """Store that blames an execution whose lease was lost, though its worker lives."""

    def is_silent(self, live: LiveRow) -> bool:
        return True


class TakesBackBegun(Store):
    def may_take_back(self, live: LiveRow) -> bool:
        return True


class DoesNotRenewHeld(Store):
    def is_renewed(self, live: LiveRow) -> bool:
        return live.has_begun


class CountsJobsNotPlaces(Store):
    def has_place(self, place: Id, job: JobRow) -> bool:
        return False


class ReversesAtTodaysWeight(Store):
    def reversal_of(self, live: LiveRow) -> int:
        return COST_US // self.weights[live.job.tenant]


# Children and parents ----------------------------------------------------------------------------------------


class NonceIsWorker(Walk):
    """Walk in which two children of one worker take the same message."""

    def nonce(self, child: Child) -> Id | str:
        return child.worker.name


class FinishesFromMemory(Walk):
    """Walk in which a child that got no answer to a beginning returns its list by the fences that it remembers."""

    def is_sure(self, child: Child) -> bool:
        return True


class ForgetsPassedOver(Walk):
    """Walk in which a child returns only those of its list that it has not tried to begin."""

    def left_of(self, child: Child) -> list[HeldRow]:
        child.doubtful.clear()
        return super().left_of(child)


class EndsWithoutReturning(Walk):
    """Walk in which a child that begins no more keeps the rest of its list."""

    def left_of(self, child: Child) -> list[HeldRow]:
        return []


class GoesOnUnsettled(Walk):
    """Walk in which a child that gives up a settlement begins the next of its list all the same."""

    def give_up(self, child: Child) -> None:
        if child.phase is Phase.UNSURE:
            child.current, child.phase = None, Phase.BETWEEN
        else:
            super().give_up(child)


class ParentReadsOnce(Walk):
    """Walk in which the parent of a dead child ignores that its last statement may still be running."""

    def note_parent_settled(self, child: Child) -> None:
        self.vacate(child)


class BlamesWholeList(Walk):
    def end_of(self, child: Child, row: HeldRow) -> Settlement:
        return self.crashed(row, child.current, was_alone=True)


class BlamesUnrun(Walk):
    """Walk in which a parent blames what has begun in the database, though its dead child never had the answer."""

    def end_of(self, child: Child, row: HeldRow) -> Settlement:
        return self.crashed(row, child.current, was_alone=True) if row.has_begun else super().end_of(child, row)
