"""Database of the protocol in memory, first part: rows, the only clock that decides, and settlements.

The product's own verdicts decide the outcome of an execution; the store applies them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import count

from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import JobState
from tests.protocol_rows import Ending, Id, JobRow, LiveRow

LEASE_SECONDS = 10.0
TIMED_STATES = frozenset({JobState.SCHEDULED, JobState.RETRYABLE})
# Microseconds that a tick predicts for every job.
COST_US = 600


class Settlements:
    """Jobs, executions in flight, charges and counters."""

    lease_seconds = LEASE_SECONDS

    def __init__(self, caps: Mapping[str, int]) -> None:
        self.now = 0.0
        self.caps = dict(caps)
        self.weights: dict[str, int] = defaultdict(lambda: 1)
        self.jobs: dict[Id, JobRow] = {}
        self.live: dict[Id, LiveRow] = {}
        # Rows that another transaction has locked.
        self.locked: set[Id] = set()
        # In flight by tenant as ticks count it, and the places and tenants of executions ended since the last tick.
        self.in_flight: Counter[str] = Counter()
        self.settled: list[tuple[Id, str]] = []
        # Service of executions at the weights of their claims.
        self.charges: Counter[Id] = Counter()
        # The last heartbeat of each worker.
        self.beats: dict[Id | str, float] = {}
        # Last published token of each execution, including ended ones.
        self.last_token: dict[Id, Id] = {}
        # For the checks: executions that began, with their holds, and that ended, since these were cleared.
        self.begins: list[tuple[Id, Id | str | None]] = []
        self.endings: list[Ending] = []
        self._ids, self._tokens, self._places = count(1), count(1), count(1)

    def settle(self, new_settlement: Settlement, job: JobRow | None = None) -> bool:
        """Apply the verdict if its execution is live under its fence; return whether it was applied.

        ``job`` is its job.
        """
        self.wait_for(new_settlement.execution_id)
        live = self.live.get(new_settlement.execution_id)
        if not self.is_held(live, new_settlement.fence):
            return False
        target = live.job if live is not None else job
        if target is None:
            return False
        if live is not None:
            del self.live[live.id]
            self.settled.append(live.pair)
            if not live.has_begun or new_settlement.measured_us == 0:
                self.charges[live.id] -= self.reversal_of(live)
            self.endings.append(Ending(live, new_settlement))
        self._end(target, new_settlement, live)
        return True

    def wait_for(self, id_: Id) -> None:
        """Wait for the end of the transaction that has the row locked."""
        self.locked.discard(id_)

    def is_held(self, live: LiveRow | None, fence: int) -> bool:
        return live is not None and live.fence == fence

    def reversal_of(self, live: LiveRow) -> int:
        """Return the service that was charged for an execution at its claim."""
        return COST_US // live.weight

    def _end(self, job: JobRow, new_settlement: Settlement, live: LiveRow | None) -> None:
        state = JobState(new_settlement.state)
        if live is not None and live.is_cancel_requested and self.heeds_cancel(state):
            state = JobState.CANCELLED
        elif live is not None and live.is_wake_requested and self.heeds_wake(state):
            state = JobState.AVAILABLE
        job.attempt += new_settlement.attempt_delta
        job.crash_count += new_settlement.crash_delta
        job.travels_alone = job.travels_alone or new_settlement.merge_disabled
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
