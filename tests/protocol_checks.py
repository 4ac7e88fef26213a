"""Invariants of the protocol after every step: I1, I2, I3, I7, I8, I9 and I10 of the promises, and L1 to L11 of lists.

The walk itself checks L1, L6 and L7 where a child acts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from scheduling.jobs.lifecycle import IN_FLIGHT_STATES, TERMINAL_STATES, JobState, is_allowed
from scheduling.kit.retry import MAX_CRASHES
from tests.protocol_actors import Phase
from tests.protocol_random_walk import STEPS, Walk
from tests.protocol_rows import Ending, Id, JobRow, LiveRow
from tests.protocol_store import Store

DUE_STATES = frozenset({JobState.SCHEDULED, JobState.RETRYABLE})
# States of a job after a cancel request: ended, or running with the request.
HEEDED_STATES = TERMINAL_STATES | {JobState.EXECUTING}
AT_WORK = frozenset({Phase.BEGUN, Phase.RUNNING, Phase.ENDED, Phase.UNSURE})


class Checker:
    """Check of a walk after each of its steps; parts of histories that were read are not read again."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._read: Counter[int] = Counter()
        self._begun: dict[Id, object] = {}

    def problems(self) -> Iterator[str]:
        store = self.walk.store
        yield from self.walk.problems
        places = Counter(live.job.id for live in store.live.values())
        for job in store.jobs.values():
            # Ended jobs that were checked are skipped until their history changes.
            if self._read[job.id] != -len(job.history):
                yield from self._of_job(job, places[job.id])
        yield from self._of_caps(store)
        yield from self._of_begins(store)
        for ending in store.endings:
            yield from self._of_ending(ending)
        store.endings.clear()

    def _of_job(self, job: JobRow, live: int) -> Iterator[str]:
        if live != (job.state in IN_FLIGHT_STATES):
            yield f"I1: job {job.id} is {job.state} and in flight {live} times"
        if (job.due_at is not None) != (job.state in DUE_STATES):
            yield f"I1: job {job.id} is {job.state} and due at {job.due_at}"
        if job.is_answered and job.is_own:
            yield f"I1: job {job.id} was woken and is {job.state}"
        if job.completions > 1 or job.effects != job.step:
            yield f"I2: job {job.id} completed {job.completions} times, {job.effects} effects in {job.step} steps"
        if abs(self._read[job.id]) != len(job.history):
            yield from self._of_news(job)
        is_poison = job.crash_count >= MAX_CRASHES
        if job.attempt > job.max_retries + 1 or (is_poison and job.state is not JobState.QUARANTINED):
            yield f"I8: job {job.id} has {job.attempt} attempts and {job.crash_count} crashes"
        if job.is_unwanted and job.state not in HEEDED_STATES:
            yield f"I9: job {job.id} was cancelled and is {job.state}"

    def _of_news(self, job: JobRow) -> Iterator[str]:
        read = len(job.history)
        first = max(0, abs(self._read[job.id]) - 1)
        self._read[job.id] = -read if job.state in TERMINAL_STATES else read
        for before, after in pairwise(job.history[first:]):
            if not is_allowed(before, after):
                yield f"I7: job {job.id} went from {before} to {after}"

    def _of_caps(self, store: Store) -> Iterator[str]:
        claimed = self.walk.claimed
        for tenant, cap in store.caps.items():
            in_flight = store.in_flight_of(tenant)
            if in_flight != store.in_flight[tenant]:
                yield f"I10: {tenant} has {in_flight} places in flight, counted {store.in_flight[tenant]}"
            if in_flight > cap and any(live.job.tenant == tenant for live in claimed):
                yield f"I3: a claim brought {tenant} to {in_flight} places in flight, its cap is {cap}"
        if claimed and len(self.walk.places_of(claimed[0].job.pool)) > self.walk.slots:
            yield f"L8: a claim took more places than the {self.walk.slots} slots"

    def _of_begins(self, store: Store) -> Iterator[str]:
        for id_, nonce in store.begins:
            if id_ in self._begun:
                yield f"L11: execution {id_} began again"
            self._begun[id_] = nonce
        store.begins.clear()
        at_work: set[Id] = set()
        for live in store.live.values():
            if live.fence != live.claim_fence + live.has_begun or live.job.fence != live.fence:
                yield f"L9: execution {live.id} has fence {live.fence}, its job {live.job.fence}"
            if live.has_begun and live.hold != self._begun[live.id]:
                yield f"L3: execution {live.id} was begun by {self._begun[live.id]} and is held by {live.hold}"
            if live.has_begun and live.is_list:
                if live.place in at_work:
                    yield f"L2: two executions of the list in place {live.place} have begun"
                at_work.add(live.place)
        yield from self._of_children()

    def _of_children(self) -> Iterator[str]:
        current: set[Id] = set()
        for worker in self.walk.workers:
            for child in worker.children:
                hand = child.current
                if child.is_dead or worker.is_dead or child.phase not in AT_WORK or hand is None:
                    continue
                if hand.id in current:
                    yield f"L3: two children have execution {hand.id}"
                current.add(hand.id)

    def _of_ending(self, ending: Ending) -> Iterator[str]:
        live, settlement, walk = ending.live, ending.settlement, self.walk
        if settlement.attempt_delta and live.id not in walk.ran:
            yield f"L5: execution {live.id} did not run, and cost an attempt"
        if settlement.crash_delta and not self._may_blame(live):
            yield f"L4: execution {live.id} is to blame for no crash"
        if (
            not (live.has_begun and live.id in walk.ran)
            and settlement.outcome == "returned"
            and walk.store.charges[live.id]
        ):
            yield f"L10: execution {live.id} was returned and charged"

    def _may_blame(self, live: LiveRow) -> bool:
        """Return whether a process died while it ran the execution, or its worker was lost after it had begun."""
        return live.id in self.walk.died or (live.id in self.walk.lost and live.has_begun)


def check_walk(walk: Walk) -> list[str]:
    """Return the first problems of a history with their step, or an empty list if all promises held."""
    checker = Checker(walk)
    for number in range(STEPS):
        name = walk.step()
        if problems := list(checker.problems()):
            return [f"step {number} ({name}): {problem}" for problem in problems]
    walk.heal_and_drain()
    problems = list(checker.problems())
    stuck = [job for job in walk.store.open_jobs() if job.state is not JobState.SUSPENDED]
    problems += [f"I1: job {job.id} is {job.state} for ever" for job in stuck]
    problems += [f"L6: execution {live.id} is in flight for ever" for live in walk.store.live.values()]
    return [f"drained: {problem}" for problem in problems]
