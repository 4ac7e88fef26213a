"""Database of the protocol in memory: each method is one statement or transaction of the product, with its rules.

The simulation runs on this store alone; the stateful test compares it with PostgreSQL, move by move.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from scheduling.execution import settlement_builders
from scheduling.jobs.lifecycle import TERMINAL_STATES, WAITING_STATES, JobState
from tests.protocol_holds import Holds, held_row
from tests.protocol_rows import HeldRow, Hint, Id, JobRow, LiveRow, Tick, hints_of

REPUBLISH_SECONDS = 15.0
IDLE_SECONDS = 2.0


class Store(Holds):
    """Acts of tenants and of dispatchers."""

    republish_seconds = REPUBLISH_SECONDS

    # Acts of tenants -----------------------------------------------------------------------------------------

    def submit(self, tenant: str, pool: str, *, max_retries: int = 3, delay: float = 0.0, id_: Id = 0) -> JobRow:
        job = JobRow(id_ or next(self._ids), tenant, pool, max_retries)
        job.due_at = self.now + delay if delay else None
        job.enter(JobState.SCHEDULED if delay else JobState.AVAILABLE)
        self.jobs[job.id] = job
        return job

    def cancel(self, job: JobRow) -> bool:
        """Cancel a job at once if it waits or has not begun; otherwise request it."""
        if job.state in WAITING_STATES or job.state is JobState.SUSPENDED:
            job.is_unwanted, job.due_at = True, None
            job.enter(JobState.CANCELLED)
            return True
        live = self.live_of(job)
        if live is None:
            return False
        job.is_unwanted = True
        if not live.has_begun:
            return self.settle(settlement_builders.cancelled(live.id, live.fence))
        live.is_cancel_requested = True
        return True

    def suspend(self, job: JobRow) -> bool:
        if job.state not in WAITING_STATES:
            return False
        job.due_at, job.is_own = None, False
        job.enter(JobState.SUSPENDED)
        return True

    def wake(self, job: JobRow) -> bool:
        """Deliver the event that a job waits for, or is about to wait for; return whether it was waiting."""
        live = self.live_of(job)
        if live is not None:
            job.is_answered = live.is_wake_requested = True
        return job.is_own and self.make_ready(job, {JobState.SUSPENDED})

    def make_ready(self, job: JobRow, from_states: Collection[JobState]) -> bool:
        """Resume a job, or end its backoff."""
        if job.state not in from_states:
            return False
        job.due_at, job.is_own = None, False
        job.enter(JobState.AVAILABLE)
        return True

    # Acts of dispatchers --------------------------------------------------------------------------------------

    def stage_due(self) -> None:
        for job in self.jobs.values():
            if job.due_at is not None and job.due_at <= self.now and job.state in WAITING_STATES:
                self.make_ready(job, WAITING_STATES)

    def collect(self) -> None:
        """Fold executions that ended since the last tick: return the places in which their tenant has no other."""
        for _, tenant in set(self.settled) - {live.pair for live in self.live.values()}:
            self.in_flight[tenant] -= 1
        self.settled.clear()

    def ready(self, pool: str) -> list[JobRow]:
        return [job for job in self.jobs.values() if job.state is JobState.AVAILABLE and job.pool == pool]

    def claim(self, tick: Tick) -> list[LiveRow]:
        """Claim the picked jobs that still exist and have room by their tenant's current row."""
        if not self.may_commit(tick):
            return []
        claimed = []
        for picks in tick.picks:
            place = next(self._places)
            for job in picks.jobs:
                if self.is_claimable(job) and (self.has_place(place, job) or self.has_room(job, tick)):
                    tick.room[job.tenant] -= 1
                    claimed.append(self.hand_out(job, place=place, is_list=picks.is_list))
        return claimed

    def is_cut_off(self, tick: Tick) -> bool:
        """Return whether a session was idle in its transaction for too long, which ends it and frees its lock."""
        return self.now - tick.opened_at > IDLE_SECONDS

    def may_commit(self, tick: Tick) -> bool:
        return not self.is_cut_off(tick)

    def is_claimable(self, job: JobRow) -> bool:
        return job.state is JobState.AVAILABLE

    def has_place(self, place: Id, job: JobRow) -> bool:
        """Return whether the job's tenant is counted in this place already."""
        return any(live.pair == (place, job.tenant) for live in self.live.values())

    def has_room(self, job: JobRow, tick: Tick) -> bool:
        """Return whether the tenant's current row has room, regardless of the tick's read."""
        del tick
        return self.in_flight[job.tenant] < self.caps[job.tenant]

    def hand_out(self, job: JobRow, id_: Id = 0, *, place: Id = 0, is_list: bool = True) -> LiveRow:
        place = place or next(self._places)
        if not self.has_place(place, job):
            self.in_flight[job.tenant] += 1
        token = next((live.token for live in self.live.values() if live.place == place), None) or next(self._tokens)
        live = LiveRow(id_ or next(self._ids), job, place, token, job.fence, self.now, is_list=is_list)
        live.weight = self.weights[job.tenant]
        self.live[live.id] = live
        self.last_token[live.id] = token
        self.charges[live.id] += self.reversal_of(live)
        job.enter(JobState.DISPATCHED)
        return live

    def republish(self, *, is_epoch_new: bool = False) -> list[Hint]:
        """Publish messages that no worker holds again, with new tokens.

        A message with a locked row is left to the next time: with two tokens two workers could hold it.
        """
        since = self.now - (0.0 if is_epoch_new else self.republish_seconds)
        late = {live.place for live in self.live.values() if self.is_lost_message(live) and live.published_at <= since}
        rows = [live for live in self.live.values() if live.place in late and self.is_lost_message(live)]
        kept = self.kept_from_renewal(rows)
        rows = [live for live in rows if live.place not in kept and live.id not in self.locked]
        tokens = {live.place: next(self._tokens) for live in rows}
        for live in rows:
            live.published_at = self.now
            live.token = self.last_token[live.id] = tokens[live.place]
        return hints_of(rows)

    def is_lost_message(self, live: LiveRow) -> bool:
        """Return whether the execution is only in a message, which may be lost."""
        return live.worker is None

    def kept_from_renewal(self, rows: list[LiveRow]) -> set[Id]:
        return {live.place for live in rows if live.id in self.locked}

    def rescue(self) -> list[LiveRow]:
        """End executions with expired leases, those that have begun as crashed; return them."""
        lost = [live for live in self.live.values() if self.is_lost(live) and live.id not in self.locked]
        ends = [self.end_of_lost(live) for live in lost]
        for end in ends:
            self.settle(end)
        return lost

    def is_lost(self, live: LiveRow) -> bool:
        return live.lease_expires_at is not None and live.lease_expires_at < self.now

    def end_of_lost(self, live: LiveRow) -> settlement_builders.Settlement:
        if not live.has_begun:
            return settlement_builders.returned(live.id, live.fence, cause="lost")
        return self.crash_of(live)

    def crash_of(self, live: LiveRow) -> settlement_builders.Settlement:
        """Return the crash of a lost execution, blamed if its worker is silent and ran no other."""
        others = [other for other in self.live.values() if other is not live]
        return settlement_builders.crashed(
            live.id,
            live.fence,
            crash_count=live.job.crash_count,
            was_alone=self.is_silent(live) and not any(o.worker == live.worker and o.has_begun for o in others),
            cause="lost",
            is_lost=True,
            was_merged=not live.is_list and any(other.place == live.place for other in others),
        )

    def is_silent(self, live: LiveRow) -> bool:
        """Return whether the worker of an execution has sent no heartbeat for the time of a lease."""
        return live.worker is None or self.beats[live.worker] + self.lease_seconds < self.now

    def find_take_backs(self) -> list[HeldRow]:
        """Read executions that are held and have not begun, which a tick may take back."""
        return [held_row(live) for live in self.live.values() if live.hold is not None and self.may_take_back(live)]

    def may_take_back(self, live: LiveRow) -> bool:
        return not live.has_begun

    # Reads ----------------------------------------------------------------------------------------------------

    def live_of(self, job: JobRow) -> LiveRow | None:
        return next((live for live in self.live.values() if live.job is job), None)

    def open_jobs(self) -> Sequence[JobRow]:
        return [job for job in self.jobs.values() if job.state not in TERMINAL_STATES]

    def in_flight_of(self, tenant: str) -> int:
        """Return the places of a tenant with live executions, or with ended ones that are not collected yet."""
        pairs = {live.pair for live in self.live.values()} | set(self.settled)
        return sum(of == tenant for _, of in pairs)
