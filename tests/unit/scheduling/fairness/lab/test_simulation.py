"""The simulation: the order of each policy, and under the fair one exactly the picks of the dispatcher."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduling.fairness.lab import Arrivals, EntityShape, OrderPolicy, QueueShape, Rules, Timeline, TreeShape, replay
from tests.examples import scaled
from tests.model_replay import replay_model

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
        (OrderPolicy.FIFO, [0, 1, 2, 3, 4]),
        (OrderPolicy.CAP, [0, 1, 2, 3, 4]),
        (OrderPolicy.ROUND_ROBIN, [0, 3, 1, 4, 2]),
        (OrderPolicy.CFS, [0, 3, 1, 4, 2]),
    ],
)
def test_each_policy_has_its_order(policy: OrderPolicy, expected: list[int]) -> None:
    assert starts(replay(TWO_TENANTS, tree(1, 1), Rules(slots=1, policy=policy))) == expected


def test_only_the_fair_order_counts_costs_and_weights() -> None:
    # Tenant 0's jobs cost three times as much; tenant 1 has twice the weight.
    jobs = arrivals(*[(0, 0, 3 * SECOND)] * 300, *[(0, 1, SECOND)] * 900)

    def busy(policy: OrderPolicy) -> Counter[int]:
        timeline = replay(jobs, tree(1, 2), Rules(slots=1, policy=policy, until_us=90 * SECOND))
        used: Counter[int] = Counter()
        for job, start, end in timeline.spans:
            used[jobs.entity[job]] += min(end, 90 * SECOND) - start
        return used

    assert busy(OrderPolicy.CFS)[1] / busy(OrderPolicy.CFS)[0] == pytest.approx(2, rel=0.1)
    assert busy(OrderPolicy.ROUND_ROBIN)[1] / busy(OrderPolicy.ROUND_ROBIN)[0] == pytest.approx(1 / 3, rel=0.1)


def test_caps_hold_under_all_policies_except_fifo() -> None:
    jobs = arrivals(*[(0, 0, SECOND)] * 8, *[(0, 1, SECOND)] * 8)
    for policy in OrderPolicy:
        at_once = most_at_once(replay(jobs, tree(1, 1, caps={0: 2}), Rules(slots=8, policy=policy)), jobs, tenant=0)
        assert at_once == (8 if policy is OrderPolicy.FIFO else 2), policy


def most_at_once(timeline: Timeline, jobs: Arrivals, *, tenant: int) -> int:
    moves = sorted(
        move for job, start, end in timeline.spans if jobs.entity[job] == tenant for move in ((start, 1), (end, -1))
    )
    running = most = 0
    for _, step in moves:
        running += step
        most = max(most, running)
    return most


def test_long_job_yields_after_its_slice_to_a_waiting_job() -> None:
    jobs = arrivals((0, 0, 100 * SECOND), (5 * SECOND, 1, SECOND))
    rules = Rules(slots=1, policy=OrderPolicy.TIME_SLICE, granularity_us=10 * SECOND)
    assert replay(jobs, tree(1, 1), rules).spans == [
        (0, 0, 10 * SECOND),
        (1, 10 * SECOND, 11 * SECOND),
        (0, 11 * SECOND, 101 * SECOND),
    ]


def test_job_with_used_slice_yields_when_another_job_arrives() -> None:
    jobs = arrivals((0, 0, 100 * SECOND), (25 * SECOND, 1, SECOND), (60 * SECOND, 0, SECOND))
    rules = Rules(slots=1, policy=OrderPolicy.TIME_SLICE, granularity_us=10 * SECOND)
    timeline = replay(jobs, tree(1, 1), rules)
    # Not to the next job of its own tenant, which has not had less service.
    assert timeline.spans == [
        (0, 0, 25 * SECOND),
        (1, 25 * SECOND, 26 * SECOND),
        (0, 26 * SECOND, 101 * SECOND),
        (2, 101 * SECOND, 102 * SECOND),
    ]


def test_slices_do_not_change_the_total_time_of_a_job() -> None:
    chance = random.Random(7)
    jobs = arrivals(*sorted((chance.randrange(50), chance.randrange(3), chance.randrange(1, 40)) for _ in range(200)))
    rules = Rules(slots=2, policy=OrderPolicy.TIME_SLICE, granularity_us=5)
    timeline = replay(jobs, tree(1, 2, 4), rules)
    used: Counter[int] = Counter()
    for job, start, end in timeline.spans:
        used[job] += end - start
    assert used == dict(enumerate(jobs.cost_us))
    assert len(timeline.spans) > len(jobs)


def test_jobs_running_at_the_start_hold_their_slots() -> None:
    jobs = arrivals((0, 0, 10), (0, 1, 7), (0, 0, 5), (0, 1, 5))
    timeline = replay(jobs, tree(1, 1), Rules(slots=2, policy=OrderPolicy.CFS), running=2)
    # Tenant 1 has no running job at 7 and precedes tenant 0, which has one.
    assert timeline.spans == [(0, 0, 10), (1, 0, 7), (3, 7, 12), (2, 10, 15)]


def test_job_starts_only_after_excess_running_jobs_have_ended() -> None:
    jobs = arrivals((0, 0, 10), (0, 0, 20), (0, 0, 30), (0, 1, 5))
    timeline = replay(jobs, tree(1, 1), Rules(slots=2, policy=OrderPolicy.CFS), running=3)
    assert timeline.spans[-1] == (3, 20, 25)


def test_keys_of_a_tenant_alternate_without_gain_for_the_tenant() -> None:
    # Tenant 0 has one key with many jobs and one with few; tenant 1 has none. One slot, equal weights.
    jobs = arrivals(*[(0, 0, 1)] * 60, *[(0, 1, 1)] * 60, key=[0] * 30 + [1] * 30 + [2] * 60)
    order = starts(replay(jobs, tree(1, 1), Rules(slots=1, policy=OrderPolicy.CFS, until_us=20)))
    keys = Counter(jobs.key[job] for job in order)
    assert keys == {0: 5, 1: 5, 2: 10}


# Few distinct numbers, for many ties.
costs = st.sampled_from([1, 2, 4, 8])
# (arrival, entity, cost, predicted cost, key). Entities: tenants 0 and 1 in queue 0, tenants 1 and 2 in queue 1.
PLACES = ((0, 0), (0, 1), (1, 1), (1, 2))
jobs_of_three = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 3), costs, costs, st.integers(0, 1)), min_size=1, max_size=60
)


# Equal virtual times at the third pick, and the tenant that has waited longer has more in flight.
@example(
    jobs=[(0, 0, 1, 1, 0), (0, 0, 1, 1, 0), (0, 0, 1, 1, 0), (0, 1, 2, 2, 0), (0, 1, 2, 2, 0)],
    weights=(1, 1, 1),
    queue_weights=(1, 1),
    caps=(3, 3, 3),
    queue_cap=4,
    slots=4,
    is_known=True,
    is_fifo=False,
    has_keys=False,
)
# The last job of a line starts while the other tenant is at its cap: the queue is idle, and backlogged again later.
@example(
    jobs=[
        *[(0, 0, 1, 1, 0)] * 11,
        (0, 1, 2, 4, 0),
        *[(0, 2, 2, 1, 0)] * 2,
        (0, 3, 2, 8, 0),
        (1, 2, 1, 1, 0),
        (1, 3, 1, 1, 0),
    ],
    weights=(1, 1, 1),
    queue_weights=(1, 2),
    caps=(1, 3, 1),
    queue_cap=3,
    slots=3,
    is_known=False,
    is_fifo=True,
    has_keys=False,
)
@settings(max_examples=scaled(300))
@given(
    jobs=jobs_of_three,
    weights=st.tuples(*[st.integers(1, 2)] * 3),
    queue_weights=st.tuples(*[st.integers(1, 2)] * 2),
    caps=st.tuples(*[st.integers(1, 3)] * 3),
    queue_cap=st.integers(1, 4),
    slots=st.integers(1, 4),
    is_known=st.booleans(),
    is_fifo=st.booleans(),
    has_keys=st.booleans(),
)
def test_simulation_picks_exactly_what_the_dispatcher_picks(
    jobs: list[tuple[int, int, int, int, int]],
    weights: tuple[int, ...],
    queue_weights: tuple[int, ...],
    caps: tuple[int, ...],
    queue_cap: int,
    slots: int,
    is_known: bool,
    is_fifo: bool,
    has_keys: bool,
) -> None:
    """Compare all picks with those of the reference model, over two queues with a tenant in both."""
    at_us, entity, cost_us, predicted_us, keys = (list(column) for column in zip(*sorted(jobs), strict=True))
    keyed = [2 * place + key for place, key in zip(entity, keys, strict=True)]
    columns = Arrivals(
        at_us, entity, cost_us, None if is_known else predicted_us, keyed if has_keys and not is_fifo else None
    )
    shape = TreeShape(
        queues=[
            QueueShape(queue_weights[0] * 1_000, is_fifo=is_fifo),
            QueueShape(queue_weights[1] * 1_000, queue_cap, is_fifo),
        ],
        caps=caps,
        entities=[EntityShape(queue, tenant, weights[tenant] * 1_000) for queue, tenant in PLACES],
    )
    found = replay(columns, shape, Rules(slots=slots, policy=OrderPolicy.CFS))
    assert found.spans == replay_model(columns, shape, slots)


def test_slot_is_held_during_turnaround_except_for_small_jobs() -> None:
    jobs = arrivals((0, 0, 10), (0, 0, 10), (0, 0, 3), (0, 0, 3))
    rules = Rules(slots=1, policy=OrderPolicy.CFS, turnaround_us=2, small_us=5)
    assert replay(jobs, tree(1), rules).spans == [(0, 2, 12), (1, 14, 24), (2, 24, 27), (3, 27, 30)]
