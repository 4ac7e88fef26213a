"""Database of the protocol in memory: each method is one statement or transaction of the product, with its rules.

The product's own verdicts decide the outcome of an execution; the store applies them. The simulation runs on this store
alone; the stateful test compares it with PostgreSQL, move by move.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import TERMINAL_STATES, WAITING_STATES, JobState

LEASE_SECONDS = 10.0
REPUBLISH_SECONDS = 15.0
IDLE_SECONDS = 2.0
TIMED_STATES = frozenset({JobState.SCHEDULED, JobState.RETRYABLE})

# Numbers if the store is alone, the database's own ids in a comparison.
type Id = int | UUID


@dataclass(slots=True)
class JobRow:
    """Job; ``history`` has all its states, ``effects`` counts commits with its checkpoints."""

    id: Id
    tenant: str
    pool: str
    max_retries: int = 3
    due_at: float | None = None
    state: JobState = JobState.AVAILABLE
    attempt: int = 0
    crash_count: int = 0
    fence: int = 0
    completions: int = 0
    step: int = 0
    effects: int = 0
    is_unwanted: bool = False
    # It has snoozed itself; the event that it waits for has occurred.
    is_own: bool = False
    is_answered: bool = False
    history: list[JobState] = field(default_factory=list)

    def enter(self, state: JobState) -> None:
        self.state = state
        self.history.append(state)


@dataclass(slots=True)
class LiveRow:
    """Execution in flight."""

    id: Id
    job: JobRow
    token: Id
    fence: int
    published_at: float
    worker: str | None = None
    lease_expires_at: float | None = None
    is_cancel_requested: bool = False
    is_wake_requested: bool = False

    @property
    def has_begun(self) -> bool:
        return self.worker is not None


@dataclass(frozen=True, slots=True)
class Hint:
    """Message: start this execution if ``token`` is still current."""

    execution: Id
    token: Id
    pool: str


@dataclass(slots=True)
class Tick:
    """Open transaction of a tick: its picks, and the room of each tenant as read."""

    pool: str
    opened_at: float
    picks: list[JobRow]
    room: Counter[str]


class Store:
    """Rows, and the only clock that decides."""

    lease_seconds = LEASE_SECONDS
    republish_seconds = REPUBLISH_SECONDS

    def __init__(self, caps: Mapping[str, int]) -> None:
        self.now = 0.0
        self.caps = dict(caps)
        self.jobs: dict[Id, JobRow] = {}
        self.live: dict[Id, LiveRow] = {}
        # In flight by tenant as ticks count it, and executions ended since the last tick.
        self.in_flight: Counter[str] = Counter()
        self.settled: list[JobRow] = []
        # Last published token of each execution, including ended ones.
        self.last_token: dict[Id, Id] = {}
        self._ids, self._tokens = count(1), count(1)

    # Acts of tenants -----------------------------------------------------------------------------------------

    def submit(self, tenant: str, pool: str, *, max_retries: int = 3, delay: float = 0.0, id_: Id = 0) -> JobRow:
        job = JobRow(id_ or next(self._ids), tenant, pool, max_retries)
        job.due_at = self.now + delay if delay else None
        job.enter(JobState.SCHEDULED if delay else JobState.AVAILABLE)
        self.jobs[job.id] = job
        return job

    def cancel(self, job: JobRow) -> bool:
        """Cancel a job at once if it waits or has not started; otherwise request it."""
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
        """Remove executions that ended since the last tick from those in flight."""
        for job in self.settled:
            self.in_flight[job.tenant] -= 1
        self.settled.clear()

    def ready(self, pool: str) -> list[JobRow]:
        return [job for job in self.jobs.values() if job.state is JobState.AVAILABLE and job.pool == pool]

    def claim(self, tick: Tick) -> list[LiveRow]:
        """Claim the picked jobs that still exist and have room by their tenant's current row."""
        if not self.may_commit(tick):
            return []
        claimed = []
        for job in tick.picks:
            if self.is_claimable(job) and self.has_room(job, tick):
                tick.room[job.tenant] -= 1
                claimed.append(self.hand_out(job))
        return claimed

    def is_cut_off(self, tick: Tick) -> bool:
        """Return whether a session was idle in its transaction for too long, which ends it and frees its lock."""
        return self.now - tick.opened_at > IDLE_SECONDS

    def may_commit(self, tick: Tick) -> bool:
        return not self.is_cut_off(tick)

    def is_claimable(self, job: JobRow) -> bool:
        return job.state is JobState.AVAILABLE

    def has_room(self, job: JobRow, tick: Tick) -> bool:
        """Return whether the tenant's current row has room, regardless of the tick's read."""
        del tick
        return self.in_flight[job.tenant] < self.caps[job.tenant]

    def hand_out(self, job: JobRow, id_: Id = 0) -> LiveRow:
        live = LiveRow(id_ or next(self._ids), job, next(self._tokens), job.fence, self.now)
        self.live[live.id] = live
        self.last_token[live.id] = live.token
        self.in_flight[job.tenant] += 1
        job.enter(JobState.DISPATCHED)
        return live

    def republish(self, *, is_epoch_new: bool = False) -> list[Hint]:
        """Publish executions that have not started again, with new tokens."""
        age = 0.0 if is_epoch_new else self.republish_seconds
        late = [live for live in self.live.values() if not live.has_begun and live.published_at <= self.now - age]
        for live in late:
            live.published_at = self.now
            self.renew(live)
        return [hint_of(live) for live in late]

    def renew(self, live: LiveRow) -> None:
        live.token = self.last_token[live.id] = next(self._tokens)

    def rescue(self) -> list[LiveRow]:
        """End executions with expired leases as crashed; return them."""
        lost = [live for live in self.live.values() if live.has_begun and self.is_lost(live)]
        alone = {live.id for live in lost if self._is_alone(live)}
        for live in lost:
            new_settlement = settlement_builders.crashed(
                live.id,
                live.fence,
                crash_count=live.job.crash_count,
                was_alone=live.id in alone,
                cause="lost",
                is_lost=True,
            )
            self.settle(new_settlement)
        return lost

    def is_lost(self, live: LiveRow) -> bool:
        return live.lease_expires_at is not None and live.lease_expires_at < self.now

    def _is_alone(self, live: LiveRow) -> bool:
        return sum(other.worker == live.worker for other in self.live.values()) == 1

    # Acts of workers ------------------------------------------------------------------------------------------

    def start(self, hint: Hint, worker: str, *, skew: float = 0.0) -> LiveRow | None:
        """Assign the execution to this worker under a new fence; return None if the message cannot start it."""
        live = self.live.get(hint.execution)
        if live is None or live.token != hint.token or live.has_begun:
            return None
        live.worker = worker
        live.fence += 1
        live.lease_expires_at = self.lease_end(skew)
        live.job.fence = live.fence
        live.job.enter(JobState.EXECUTING)
        return live

    def heartbeat(self, fences: Mapping[Id, int], *, skew: float = 0.0) -> dict[Id, LiveRow]:
        """Renew the leases of executions that are still the worker's; return them."""
        ours = {id_: live for id_, fence in fences.items() if (live := self.live.get(id_)) and live.fence == fence}
        for live in ours.values():
            live.lease_expires_at = self.lease_end(skew)
        return ours

    def lease_end(self, skew: float) -> float:
        """Return the end of a lease by the store's clock, regardless of the worker's."""
        del skew
        return self.now + self.lease_seconds

    def settle(self, new_settlement: Settlement, job: JobRow | None = None) -> bool:
        """Apply the verdict if its execution is live under its fence; return whether it was applied.

        ``job`` is its job.
        """
        live = self.live.get(new_settlement.execution_id)
        if not self.is_held(live, new_settlement.fence):
            return False
        target = live.job if live is not None else job
        if target is None:
            return False
        if live is not None:
            del self.live[live.id]
            self.settled.append(target)
        self._end(target, new_settlement, live)
        return True

    def _end(self, job: JobRow, new_settlement: Settlement, live: LiveRow | None) -> None:
        state = JobState(new_settlement.state)
        if live is not None and live.is_cancel_requested and self.heeds_cancel(state):
            state = JobState.CANCELLED
        elif live is not None and live.is_wake_requested and self.heeds_wake(state):
            state = JobState.AVAILABLE
        job.attempt += new_settlement.attempt_delta
        job.crash_count += new_settlement.crash_delta
        job.due_at = self.now + (new_settlement.due_in_seconds or 0.0) if state in TIMED_STATES else None
        job.is_own = state is JobState.SUSPENDED
        job.is_answered = job.is_answered and job.is_own
        job.completions += state is JobState.COMPLETED
        job.enter(state)

    def heeds_cancel(self, state: JobState) -> bool:
        """Return whether a cancel request keeps the job from returning to work."""
        return state in {JobState.AVAILABLE, *TIMED_STATES, JobState.SUSPENDED}

    def heeds_wake(self, state: JobState) -> bool:
        """Return whether an early wake keeps the job from being suspended."""
        return state is JobState.SUSPENDED

    def checkpoint(self, live_id: Id, fence: int, job: JobRow, step: int) -> bool:
        """Commit an effect together with its checkpoint."""
        if not self.is_held(self.live.get(live_id), fence):
            return False
        job.step = step + 1
        job.effects += 1
        return True

    def is_held(self, live: LiveRow | None, fence: int) -> bool:
        return live is not None and live.fence == fence

    # Reads ----------------------------------------------------------------------------------------------------

    def live_of(self, job: JobRow) -> LiveRow | None:
        return next((live for live in self.live.values() if live.job is job), None)

    def open_jobs(self) -> Sequence[JobRow]:
        return [job for job in self.jobs.values() if job.state not in TERMINAL_STATES]

    def in_flight_of(self, tenant: str) -> int:
        """Return the number of live executions and of ended ones that are not collected yet."""
        return sum(live.job.tenant == tenant for live in self.live.values()) + sum(
            job.tenant == tenant for job in self.settled
        )


def hint_of(live: LiveRow) -> Hint:
    return Hint(live.id, live.token, live.job.pool)
