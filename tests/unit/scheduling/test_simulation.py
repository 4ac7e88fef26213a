"""The simulation: each policy's order, and under the fair one exactly the dispatcher's picks."""

from __future__ import annotations

import random
from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.fairness.run_queue import ReadSupply, pick_fair
from scheduling.fairness.shares import PoolShare, QueueShare, ReadRows, ReadyJob, TenantShare
from scheduling.fairness.simulation import (
    Arrivals,
    EntityShape,
    Policy,
    QueueShape,
    Rules,
    Timeline,
    TreeShape,
    replay,
)
from scheduling.fairness.virtual_time import corrected, rejoined

SECOND = 1_000_000


def tree(*weights: int, caps: dict[int, int] | None = None) -> TreeShape:
    return TreeShape(
        queues=[QueueShape()],
        caps=[(caps or {}).get(number, 1_000) for number in range(len(weights))],
        entities=[EntityShape(0, number, weight * 1_000) for number, weight in enumerate(weights)],
    )


def arrivals(*jobs: tuple[int, int, int], **columns: list[int]) -> Arrivals:
    at_us, entity, cost_us = (list(column) for column in zip(*jobs, strict=True))
    return Arrivals(at_us, entity, cost_us, **columns)


def starts(timeline: Timeline) -> list[int]:
    return [job for job, _, _ in timeline.spans]


# Two of tenant 0 that come first, then two of tenant 1; one slot.
TWO_TENANTS = arrivals((0, 0, 4), (0, 0, 4), (0, 0, 4), (1, 1, 4), (1, 1, 4))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy.FIFO, [0, 1, 2, 3, 4]),
        (Policy.CAP, [0, 1, 2, 3, 4]),
        (Policy.ROUND_ROBIN, [0, 3, 1, 4, 2]),
        (Policy.CFS, [0, 3, 1, 4, 2]),
    ],
)
def test_each_policy_orders_as_it_says(policy: Policy, expected: list[int]) -> None:
    assert starts(replay(TWO_TENANTS, tree(1, 1), Rules(slots=1, policy=policy))) == expected


def test_only_the_fair_order_counts_costs_and_weights() -> None:
    # Tenant 0's jobs cost three times as much; tenant 1 has twice the weight.
    jobs = arrivals(*[(0, 0, 3 * SECOND)] * 300, *[(0, 1, SECOND)] * 900)

    def busy(policy: Policy) -> Counter[int]:
        timeline = replay(jobs, tree(1, 2), Rules(slots=1, policy=policy, until_us=90 * SECOND))
        used: Counter[int] = Counter()
        for job, start, end in timeline.spans:
            used[jobs.entity[job]] += min(end, 90 * SECOND) - start
        return used

    assert busy(Policy.CFS)[1] / busy(Policy.CFS)[0] == pytest.approx(2, rel=0.1)
    assert busy(Policy.ROUND_ROBIN)[1] / busy(Policy.ROUND_ROBIN)[0] == pytest.approx(1 / 3, rel=0.1)


def test_caps_hold_under_all_policies_but_plain_fifo() -> None:
    jobs = arrivals(*[(0, 0, SECOND)] * 8, *[(0, 1, SECOND)] * 8)
    for policy in Policy:
        at_once = most_at_once(replay(jobs, tree(1, 1, caps={0: 2}), Rules(slots=8, policy=policy)), jobs, tenant=0)
        assert at_once == (8 if policy is Policy.FIFO else 2), policy


def most_at_once(timeline: Timeline, jobs: Arrivals, *, tenant: int) -> int:
    moves = sorted(
        move for job, start, end in timeline.spans if jobs.entity[job] == tenant for move in ((start, 1), (end, -1))
    )
    running = most = 0
    for _, step in moves:
        running += step
        most = max(most, running)
    return most


def test_a_long_job_yields_after_its_slice_to_who_came_meanwhile() -> None:
    jobs = arrivals((0, 0, 100 * SECOND), (5 * SECOND, 1, SECOND))
    rules = Rules(slots=1, policy=Policy.TIME_SLICE, granularity_us=10 * SECOND)
    assert replay(jobs, tree(1, 1), rules).spans == [
        (0, 0, 10 * SECOND),
        (1, 10 * SECOND, 11 * SECOND),
        (0, 11 * SECOND, 101 * SECOND),
    ]


def test_a_job_whose_slice_is_over_yields_as_soon_as_somebody_comes() -> None:
    jobs = arrivals((0, 0, 100 * SECOND), (25 * SECOND, 1, SECOND), (60 * SECOND, 0, SECOND))
    rules = Rules(slots=1, policy=Policy.TIME_SLICE, granularity_us=10 * SECOND)
    timeline = replay(jobs, tree(1, 1), rules)
    # Not to its own tenant's next job, which is no less served.
    assert timeline.spans == [
        (0, 0, 25 * SECOND),
        (1, 25 * SECOND, 26 * SECOND),
        (0, 26 * SECOND, 101 * SECOND),
        (2, 101 * SECOND, 102 * SECOND),
    ]


def test_slices_change_no_jobs_whole_time() -> None:
    chance = random.Random(7)
    jobs = arrivals(*sorted((chance.randrange(50), chance.randrange(3), chance.randrange(1, 40)) for _ in range(200)))
    rules = Rules(slots=2, policy=Policy.TIME_SLICE, granularity_us=5)
    timeline = replay(jobs, tree(1, 2, 4), rules)
    used: Counter[int] = Counter()
    for job, start, end in timeline.spans:
        used[job] += end - start
    assert used == dict(enumerate(jobs.cost_us))
    assert len(timeline.spans) > len(jobs)


def test_what_runs_at_the_beginning_holds_its_slots() -> None:
    jobs = arrivals((0, 0, 10), (0, 1, 7), (0, 0, 5), (0, 1, 5))
    timeline = replay(jobs, tree(1, 1), Rules(slots=2, policy=Policy.CFS), running=2)
    # Tenant 1, of which nothing runs at 7, goes before tenant 0, of which one job does.
    assert timeline.spans == [(0, 0, 10), (1, 0, 7), (3, 7, 12), (2, 10, 15)]


def test_fewer_slots_than_run_start_nothing_until_enough_have_ended() -> None:
    jobs = arrivals((0, 0, 10), (0, 0, 20), (0, 0, 30), (0, 1, 5))
    timeline = replay(jobs, tree(1, 1), Rules(slots=2, policy=Policy.CFS), running=3)
    assert timeline.spans[-1] == (3, 20, 25)


def test_keys_of_a_tenant_take_turns_and_gain_it_nothing() -> None:
    # Tenant 0 has one key with many jobs and one with few; tenant 1 has none. One slot, all equal.
    jobs = arrivals(*[(0, 0, 1)] * 60, *[(0, 1, 1)] * 60, key=[0] * 30 + [1] * 30 + [2] * 60)
    order = starts(replay(jobs, tree(1, 1), Rules(slots=1, policy=Policy.CFS, until_us=20)))
    keys = Counter(jobs.key[job] for job in order)
    assert keys == {0: 5, 1: 5, 2: 10}


costs = st.integers(1, 30)
jobs_of_three = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2), costs, costs), min_size=1, max_size=60)


@settings(max_examples=300)
@given(
    jobs=jobs_of_three,
    weights=st.tuples(*[st.integers(1, 5)] * 3),
    caps=st.tuples(*[st.integers(1, 3)] * 3),
    slots=st.integers(1, 4),
    is_known=st.booleans(),
)
def test_it_picks_exactly_what_the_dispatcher_picks(
    jobs: list[tuple[int, int, int, int]],
    weights: tuple[int, ...],
    caps: tuple[int, ...],
    slots: int,
    is_known: bool,
) -> None:
    at_us, entity, cost_us, predicted_us = (list(column) for column in zip(*sorted(jobs), strict=True))
    columns = Arrivals(at_us, entity, cost_us, None if is_known else predicted_us)
    shape = tree(*weights, caps=dict(enumerate(caps)))
    found = replay(columns, shape, Rules(slots=slots, policy=Policy.CFS))
    assert found.spans == Reference(columns, shape, slots).run()


class Reference:
    """The same world, in which every pick asks `pick_fair` over frozen values as a tick reads them."""

    def __init__(self, jobs: Arrivals, shape: TreeShape, slots: int) -> None:
        self.jobs, self.shape, self.slots = jobs, shape, slots
        self.charges = jobs.predicted_us or jobs.cost_us
        count = len(shape.entities)
        self.waiting: list[list[int]] = [[] for _ in range(count)]
        self.vruntimes = [0] * count
        self.in_flight = [0] * count
        self.is_runnable = [False] * count
        self.virtual_time = 0

    def run(self) -> list[tuple[int, int, int]]:
        running: list[tuple[int, int]] = []
        spans: list[tuple[int, int, int]] = []
        coming = list(range(len(self.jobs)))
        while coming or running:
            now = min([self.jobs.at_us[coming[0]]] if coming else [end for end, _ in running], default=0)
            now = min([now, *(end for end, _ in running)])
            for end, job in sorted(running):
                if end <= now:
                    running.remove((end, job))
                    self.end(job)
            while coming and self.jobs.at_us[coming[0]] <= now:
                job = coming.pop(0)
                self.waiting[self.jobs.entity[job]].append(job)
            self.look()
            while len(running) < self.slots and (picked := self.pick()) is not None:
                end = now + self.jobs.cost_us[picked]
                spans.append((picked, now, end))
                running.append((end, picked))
        return spans

    def end(self, job: int) -> None:
        entity = self.jobs.entity[job]
        self.in_flight[entity] -= 1
        self.vruntimes[entity] = corrected(
            self.vruntimes[entity],
            predicted_us=self.charges[job],
            measured_us=self.jobs.cost_us[job],
            weight_milli=self.shape.entities[entity].weight_milli,
        )

    def look(self) -> None:
        for entity, jobs in enumerate(self.waiting):
            may_run = bool(jobs) and self.in_flight[entity] < self.shape.caps[entity]
            if may_run and not self.is_runnable[entity]:
                self.vruntimes[entity] = rejoined(self.vruntimes[entity], self.virtual_time)
            self.is_runnable[entity] = may_run

    def pick(self) -> int | None:
        shares = [
            TenantShare(
                entity_id=entity,
                tenant_id=UUID(int=entity),
                weight_milli=self.shape.entities[entity].weight_milli,
                vruntime=self.vruntimes[entity],
                in_flight=self.in_flight[entity],
                head_rank=jobs[0],
                waiting=len(jobs),
                estimate_us=1,
            )
            for entity, jobs in enumerate(self.waiting)
            if self.is_runnable[entity]
        ]
        rows = {
            entity: ReadRows(len(jobs) + 1, [ReadyJob(None, job, "", self.charges[job]) for job in jobs])
            for entity, jobs in enumerate(self.waiting)
        }
        room = {UUID(int=entity): cap - self.in_flight[entity] for entity, cap in enumerate(self.shape.caps)}
        queue = QueueShare(0, 1_000, 0, self.virtual_time, True, 1, False, shares)
        result = pick_fair(PoolShare(0, 1, [queue], room), ReadSupply(rows))
        if not result.picks:
            return None
        pick = result.picks[0]
        self.virtual_time = result.queues[0].virtual_time
        self.vruntimes[pick.entity_id] = result.vruntimes[pick.entity_id]
        self.in_flight[pick.entity_id] += 1
        job = self.waiting[pick.entity_id].pop(0)
        left = self.waiting[pick.entity_id]
        if not left or self.in_flight[pick.entity_id] >= self.shape.caps[pick.entity_id]:
            self.is_runnable[pick.entity_id] = False
        return job
