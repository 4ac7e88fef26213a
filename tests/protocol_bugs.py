"""The protocol with planted bugs: whoever checks it must notice each of them."""

from __future__ import annotations

from dataclasses import replace

from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState
from tests.protocol_store import Hint, JobRow, LiveRow, Store, Tick


class ChecksNoFence(Store):
    """Whoever says that a job is done is believed, a zombie too."""

    def is_held(self, live: LiveRow | None, fence: int) -> bool:
        return True


class RescuesWithoutLease(Store):
    """Whatever was begun is taken for lost."""

    def is_lost(self, live: LiveRow) -> bool:
        return True


class RepublishesTheSameToken(Store):
    """A message that was given up for lost, and is not, can still begin its execution."""

    def start(self, hint: Hint, worker: str, *, skew: float = 0.0) -> LiveRow | None:
        live = self.live.get(hint.execution)
        return super().start(hint if live is None else Hint(hint.execution, live.token, hint.pool), worker, skew=skew)


class CountsThenClaims(Store):
    """The room of a tenant is what the tick has read of it, another pool's tick or not."""

    def has_room(self, job: JobRow, tick: Tick) -> bool:
        return tick.room[job.tenant] > 0


class ActsPastItsLock(Store):
    """A leader that was stopped goes on with what it had read."""

    def may_commit(self, tick: Tick) -> bool:
        return True

    def is_claimable(self, job: JobRow) -> bool:
        return job.state not in TERMINAL_STATES


class NeverRepublishes(Store):
    """A lost message is a lost job."""

    def republish(self, *, is_epoch_new: bool = False) -> list[Hint]:
        return []


class TrustsWorkersClocks(Store):
    def lease_end(self, skew: float) -> float:
        return self.now + skew + self.lease_seconds


class ForgetsCancel(Store):
    def heeds_cancel(self, state: JobState) -> bool:
        return False


class SleepsThroughItsWake(Store):
    """What was woken while it ran is suspended for ever."""

    def heeds_wake(self, state: JobState) -> bool:
        return False


class RetriesForEver(Store):
    def settle(self, verdict: Settlement, job: JobRow | None = None) -> bool:
        if verdict.state == JobState.DISCARDED:
            verdict = replace(verdict, state=JobState.RETRYABLE)
        return super().settle(verdict, job)


class RunsPoisonForEver(Store):
    """Crashes are counted and mean nothing."""

    def settle(self, verdict: Settlement, job: JobRow | None = None) -> bool:
        if verdict.state == JobState.QUARANTINED:
            verdict = replace(verdict, state=JobState.AVAILABLE)
        return super().settle(verdict, job)


class ForgetsWhatEnded(Store):
    """What ended between two ticks holds its place in its tenant's cap for ever."""

    def collect(self) -> None:
        self.settled.clear()
