"""Protocols with planted bugs, each of which the checks must detect: those that a message of one job can show."""

from __future__ import annotations

from dataclasses import replace

from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState
from tests.protocol_rows import Hint, Id, JobRow, LiveRow, Tick
from tests.protocol_store import Store


class ChecksNoFence(Store):
    """Store that accepts settlements without a fence check, even of zombies."""

    def is_held(self, live: LiveRow | None, fence: int) -> bool:
        return True


class RescuesWithoutLease(Store):
    """Store that treats every started execution as lost."""

    def is_lost(self, live: LiveRow) -> bool:
        return live.worker is not None


class RepublishesTheSameToken(Store):
    """Store in which a message presumed lost can still start its execution."""

    def hold(self, hint: Hint, worker: Id | str, nonce: Id | str, *, skew: float = 0.0) -> list[LiveRow]:
        tokens = [live.token for id_ in hint.executions if (live := self.live.get(id_))]
        return super().hold(replace(hint, token=tokens[0]) if tokens else hint, worker, nonce, skew=skew)


class CountsThenClaims(Store):
    """Store that takes a tenant's room from the tick's read, without another pool's ticks."""

    def has_room(self, job: JobRow, tick: Tick) -> bool:
        return tick.room[job.tenant] > 0


class CommitsWithoutLock(Store):
    """Store in which a stopped leader commits what it had read."""

    def may_commit(self, tick: Tick) -> bool:
        return True

    def is_claimable(self, job: JobRow) -> bool:
        return job.state not in TERMINAL_STATES


class NeverRepublishes(Store):
    """Store in which a lost message is a lost job."""

    def republish(self, *, is_epoch_new: bool = False) -> list[Hint]:
        return []


class UsesWorkerClocks(Store):
    def lease_end(self, skew: float) -> float:
        return self.now + skew + self.lease_seconds


class ForgetsCancel(Store):
    def heeds_cancel(self, state: JobState) -> bool:
        return False


class IgnoresEarlyWake(Store):
    """Store that suspends a job forever if it was woken while it ran."""

    def heeds_wake(self, state: JobState) -> bool:
        return False


class NeverExhaustsRetries(Store):
    def settle(self, new_settlement: Settlement, job: JobRow | None = None) -> bool:
        if new_settlement.state == JobState.DISCARDED:
            new_settlement = replace(new_settlement, state=JobState.RETRYABLE)
        return super().settle(new_settlement, job)


class NeverQuarantines(Store):
    """Store that counts crashes without consequences."""

    def settle(self, new_settlement: Settlement, job: JobRow | None = None) -> bool:
        if new_settlement.state == JobState.QUARANTINED:
            new_settlement = replace(new_settlement, state=JobState.AVAILABLE)
        return super().settle(new_settlement, job)


class ForgetsEndedExecutions(Store):
    """Store in which executions that end between two ticks occupy their tenant's cap forever."""

    def collect(self) -> None:
        self.settled.clear()
