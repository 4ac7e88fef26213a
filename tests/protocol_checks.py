"""Invariants of the protocol after every step: I1, I2, I3, I7, I8, I9 and I10 of the promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from scheduling.jobs.lifecycle import IN_FLIGHT_STATES, TERMINAL_STATES, JobState, is_allowed
from scheduling.kit.retry import MAX_CRASHES
from tests.protocol_random_walk import STEPS, Walk
from tests.protocol_store import JobRow, Store

DUE_STATES = frozenset({JobState.SCHEDULED, JobState.RETRYABLE})
# States of a job after a cancel request: ended, or running with the request.
HEEDED_STATES = TERMINAL_STATES | {JobState.EXECUTING}


class Checker:
    """Check of a walk after each of its steps; parts of histories that were read are not read again."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._read: Counter[int] = Counter()

    def problems(self) -> Iterator[str]:
        store = self.walk.store
        yield from self.walk.problems
        places = Counter(live.job.id for live in store.live.values())
        for job in store.jobs.values():
            # Ended jobs that were checked are skipped until their history changes.
            if self._read[job.id] != -len(job.history):
                yield from self._of_job(job, places[job.id])
        yield from self._of_caps(store)

    def _of_job(self, job: JobRow, live: int) -> Iterator[str]:
        if live != (job.state in IN_FLIGHT_STATES):
            yield f"I1: job {job.id} is {job.state} and in flight {live} times"
        if (job.due_at is not None) != (job.state in DUE_STATES):
            yield f"I1: job {job.id} is {job.state} and due at {job.due_at}"
        if job.is_answered and job.is_own:
            yield f"I1: job {job.id} was woken and is {job.state}"
        if job.completions > 1 or job.effects != job.step:
            yield f"I2: job {job.id} completed {job.completions} times, {job.effects} effects in {job.step} steps"
        for before, after in self._news(job):
            if not is_allowed(before, after):
                yield f"I7: job {job.id} went from {before} to {after}"
        is_poison = job.crash_count >= MAX_CRASHES
        if job.attempt > job.max_retries + 1 or (is_poison and job.state is not JobState.QUARANTINED):
            yield f"I8: job {job.id} has {job.attempt} attempts and {job.crash_count} crashes"
        if job.is_unwanted and job.state not in HEEDED_STATES:
            yield f"I9: job {job.id} was cancelled and is {job.state}"

    def _news(self, job: JobRow) -> Iterator[tuple[JobState, JobState]]:
        read = len(job.history)
        first = max(0, abs(self._read[job.id]) - 1)
        self._read[job.id] = -read if job.state in TERMINAL_STATES else read
        return zip(job.history[first:], job.history[first + 1 :], strict=False)

    def _of_caps(self, store: Store) -> Iterator[str]:
        for tenant, cap in store.caps.items():
            in_flight = store.in_flight_of(tenant)
            if in_flight != store.in_flight[tenant]:
                yield f"I10: {tenant} has {in_flight} in flight, counted {store.in_flight[tenant]}"
            if in_flight > cap and any(live.job.tenant == tenant for live in self.walk.claimed):
                yield f"I3: a claim brought {tenant} to {in_flight} in flight, its cap is {cap}"


def check_walk(kind: type[Store], seed: int) -> list[str]:
    """Return the first problems of a seed's history with their step, or an empty list if all promises held."""
    walk = Walk(kind, seed)
    checker = Checker(walk)
    for number in range(STEPS):
        name = walk.step()
        if problems := list(checker.problems()):
            return [f"seed {seed}, step {number} ({name}): {problem}" for problem in problems]
    walk.heal_and_drain()
    problems = list(checker.problems())
    stuck = [job for job in walk.store.open_jobs() if job.state is not JobState.SUSPENDED]
    problems += [f"I1: job {job.id} is {job.state} for ever" for job in stuck]
    return [f"seed {seed}, drained: {problem}" for problem in problems]
