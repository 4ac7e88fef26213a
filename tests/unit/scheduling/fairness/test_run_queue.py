"""The fair order as tables and properties, without a database."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.fairness.lab import Arrival, OrderPolicy, SimulatedTenant, simulate
from scheduling.fairness.nodes import corrected, rejoined, virtual_service
from scheduling.fairness.run_queue import EstimatedJobs, ReadJobs, keys_to_read, pick_fair, reason_of, rows_to_read
from scheduling.fairness.shares import MergeRule, PickReason, PoolShare, ReadRows, ReadyJob, TenantShare
from tests.examples import scaled
from tests.unit.scheduling.fairness.shares import SECOND, key, keyed, pool, queue, tenant


def order(share: PoolShare) -> list[int]:
    return [pick.entity_id for pick in pick_fair(share, EstimatedJobs()).picks]


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        # Equal weights alternate.
        (pool(queue(tenant(1), tenant(2)), room=4), [1, 2, 1, 2]),
        # Weight 2 gets two of three.
        (pool(queue(tenant(1), tenant(2, weight_milli=2_000)), room=6), [1, 2, 2, 1, 2, 2]),
        # The one with the least virtual time catches up first.
        (pool(queue(tenant(1, vruntime=3_000 * SECOND), tenant(2)), room=4), [2, 2, 2, 1]),
        # A tie goes to the tenant with fewest in flight …
        (pool(queue(tenant(1, in_flight=1), tenant(2)), room=1), [2]),
        # … then to the one that waits longest.
        (pool(queue(tenant(1, head_rank=9), tenant(2, head_rank=5)), room=1), [2]),
        # A cap ends a tenant's picks, the other takes the rest.
        (pool(queue(tenant(1), tenant(2)), room=4, caps={1: 1}), [1, 2, 2, 2]),
        # No tenant gets more jobs than it has.
        (pool(queue(tenant(1, waiting=1), tenant(2, waiting=1)), room=4), [1, 2]),
        # Cheap jobs are picked more often: cost 1 against 2 (the tie at 2 goes to fewest in flight).
        (pool(queue(tenant(1), tenant(2, estimate_us=2 * SECOND)), room=6), [1, 2, 1, 2, 1, 1]),
        # First in, first out ignores virtual time.
        (pool(queue(tenant(1, head_rank=9), tenant(2, head_rank=5, vruntime=99), is_fifo=True), room=2), [2, 2]),
        # Keys share their tenant's part without a gain.
        (pool(queue(tenant(1), keyed(2, key(21), key(22))), room=6), [1, 21, 1, 22, 1, 21]),
        # Among keys, too, the one with the least virtual time is next …
        (pool(queue(keyed(2, key(21, vruntime=1_000 * SECOND), key(22))), room=3), [22, 21, 22]),
        # … a tie goes to the one with fewest in flight, then to the longest waiting, then to the lower id.
        (pool(queue(keyed(2, key(21, in_flight=1), key(22, head_rank=7), key(23, head_rank=7))), room=1), [22]),
        (pool(queue(keyed(2, key(21, head_rank=9), key(22, head_rank=5))), room=1), [22]),
        # A tenant's jobs without a key are a line beside its keys, under its own entity.
        (pool(queue(keyed(2, key(2), key(21))), room=4), [2, 21, 2, 21]),
        # A tenant waits as long as its longest waiting key.
        (pool(queue(tenant(1, head_rank=6), keyed(2, key(21, head_rank=9), key(22, head_rank=5))), room=1), [22]),
        # … including keys that were not read.
        (pool(queue(tenant(1, head_rank=6), keyed(2, key(21, head_rank=9), head_rank=5)), room=1), [21]),
        # A key without further jobs leaves its tenant's part to the others.
        (pool(queue(tenant(1), keyed(2, key(21, waiting=1), key(22))), room=6), [1, 21, 1, 22, 1, 22]),
        # First in, first out follows the longest waiting job of all keys.
        (
            pool(
                queue(tenant(1, head_rank=6), keyed(2, key(21, head_rank=9), key(22, head_rank=5)), is_fifo=True),
                room=1,
            ),
            [22],
        ),
        # No room, no picks.
        (pool(queue(tenant(1)), room=0), []),
    ],
)
def test_tenants_are_picked_in_fair_order(share: PoolShare, expected: list[int]) -> None:
    assert order(share) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {}, [2, 1]),
        ({"vruntime": 1}, {}, [1, 2]),
        ({"in_flight": 1}, {}, [1, 2]),
    ],
)
def test_ties_between_queues_prefer_fewest_in_flight_then_longest_waiting(
    first: dict[str, int], second: dict[str, int], expected: list[int]
) -> None:
    late, early = tenant(1, head_rank=9), tenant(2, head_rank=5)
    if expected[0] == 1:
        first, second = second, first
    share = pool(queue(late, queue_id=1, **first), queue(early, queue_id=2, **second), room=2)
    assert order(share) == expected


@pytest.mark.parametrize(
    ("tenants", "reason"),
    [
        ([tenant(1)], PickReason.ONLY_CANDIDATE),
        ([tenant(1), tenant(2, vruntime=5)], PickReason.LEAST_VIRTUAL_TIME),
        ([tenant(1, in_flight=1), tenant(2)], PickReason.TIE_IN_FLIGHT),
        ([tenant(1, head_rank=9), tenant(2)], PickReason.TIE_LONGEST_WAITING),
    ],
)
def test_each_pick_has_its_reason_and_runner_up(tenants: list[TenantShare], reason: PickReason) -> None:
    pick = pick_fair(pool(queue(*tenants), room=1), EstimatedJobs()).picks[0]
    assert reason_of(pick) == reason
    assert pick.turn[3] == pick.tenant_entity_id
    turns = [(one.vruntime, one.in_flight, one.head_rank, one.entity_id) for one in tenants]
    others = [turn for turn in turns if turn != pick.turn]
    assert pick.runner_up == min(others, default=None)


def test_tenant_and_its_keys_have_separate_clocks() -> None:
    share = pool(queue(keyed(2, key(2, vruntime=4), key(21, vruntime=7), weight_milli=2_000, vruntime=3)), room=2)
    result = pick_fair(share, EstimatedJobs())
    tags = result.tenants[2]
    assert (tags.vruntime, tags.virtual_time) == (3 + 1_000 * SECOND, 7)
    assert tags.keys == {2: 4 + 1_000 * SECOND, 21: 7 + 1_000 * SECOND}


def test_keys_to_read_equal_the_possible_picks_of_the_tenant() -> None:
    assert keys_to_read(pool(queue(tenant(1), tenant(2, weight_milli=3_000)), room=4), [2]) == {2: 4}


def test_pick_beyond_the_read_keys_ends_the_tick() -> None:
    share = pool(queue(keyed(2, key(21), key(22))), room=4)
    rows = {21: ReadRows(3, [ReadyJob(UUID(int=n), 0, "noop", SECOND) for n in range(3)])}
    result = pick_fair(share, ReadJobs(rows))
    assert [pick.entity_id for pick in result.picks] == [21]
    assert result.is_cut_short


def test_queues_share_the_pool_by_their_weights() -> None:
    share = pool(
        queue(tenant(1), queue_id=1, weight_milli=1_000), queue(tenant(2), queue_id=2, weight_milli=3_000), room=8
    )
    assert Counter(order(share)) == {1: 2, 2: 6}


def test_queue_at_its_cap_leaves_the_slots_to_the_others() -> None:
    share = pool(queue(tenant(1), queue_id=1, room=1), queue(tenant(2), queue_id=2), room=4)
    assert Counter(order(share)) == {1: 1, 2: 3}


def test_idle_queue_earns_no_credit() -> None:
    idle = queue(tenant(1), queue_id=1, was_backlogged=False)
    busy = queue(tenant(2), queue_id=2, vruntime=50_000 * SECOND)
    share = PoolShare(50_000 * SECOND, 4, [idle, busy], {UUID(int=1): 9, UUID(int=2): 9})
    assert Counter(order(share)) == {1: 2, 2: 2}


def test_pick_beyond_the_read_rows_ends_the_tick() -> None:
    share = pool(queue(tenant(1), tenant(2)), room=4)
    rows = {
        1: ReadRows(1, [ReadyJob(UUID(int=11), 0, "noop", 1)]),
        2: ReadRows(2, [ReadyJob(UUID(int=21), 0, "noop", SECOND)]),
    }
    # Tenant 1's only job cost almost nothing, so its next, unread one would be due.
    assert [pick.entity_id for pick in pick_fair(share, ReadJobs(rows)).picks] == [1, 2]


def test_rows_to_read_are_one_more_than_the_picks() -> None:
    assert rows_to_read(pool(queue(tenant(1), tenant(2), tenant(3)), room=2)) == {1: 2, 2: 2, 3: 1}


def test_small_jobs_of_many_tenants_fill_messages_under_fifo() -> None:
    """Two hundred tenants alternate, four jobs each; enough rows of each are read to continue the pick."""
    many = [tenant(number, head_rank=number, waiting=4, estimate_us=400) for number in range(200)]
    share = replace(pool(queue(*many, is_fifo=True), room=2), limit=200, merging=MergeRule(20_000, 100, 200_000))
    rows = {
        line: ReadRows(
            asked, [ReadyJob(UUID(int=line * 4 + n), line + n * 200, "noop", 400, True) for n in range(min(asked, 4))]
        )
        for line, asked in rows_to_read(share).items()
    }
    picks = pick_fair(share, ReadJobs(rows)).picks
    assert [pick.job.rank for pick in picks] == list(range(200))
    assert {pick.message for pick in picks} == {0, 1}


def test_virtual_time_of_a_queue_becomes_its_last_start_tag() -> None:
    result = pick_fair(pool(queue(tenant(1), tenant(2, vruntime=7)), room=2), EstimatedJobs())
    assert result.queues[1].virtual_time == 7
    assert result.vruntimes == {1: 1_000 * SECOND, 2: 7 + 1_000 * SECOND}


def test_waiting_earns_no_credit() -> None:
    assert rejoined(10, 500) == 500
    assert rejoined(900, 500) == 900


@given(predicted=st.integers(1, 10**9), measured=st.integers(0, 10**9), weight=st.integers(1, 10**6))
def test_correction_leaves_exactly_the_measured_service(predicted: int, measured: int, weight: int) -> None:
    charged = 17 + virtual_service(predicted, weight)
    assert corrected(charged, predicted_us=predicted, measured_us=measured, weight_milli=weight) == 17 + (
        virtual_service(measured, weight)
    )


COSTS = st.lists(st.integers(1, 50), min_size=30, max_size=30)


@settings(max_examples=scaled(60), deadline=None)
@given(
    weights=st.lists(st.integers(1, 8), min_size=2, max_size=5),
    slots=st.integers(1, 7),
    data=st.data(),
)
def test_service_of_backlogged_tenants_stays_within_the_bound(
    weights: list[int], slots: int, data: st.DataObject
) -> None:
    """|S_i/w_i − S_j/w_j| ≤ L_i/w_i + L_j/w_j at every dispatch, at any number of slots."""
    ids = [UUID(int=number) for number in range(len(weights))]
    costs = [data.draw(COSTS) for _ in weights]
    arrivals = [
        Arrival(tenant_id, 0, cost * 1_000) for tenant_id, jobs in zip(ids, costs, strict=True) for cost in jobs
    ]
    tenants = {
        tenant_id: SimulatedTenant(weight_milli=weight * 1_000, cap=10**6)
        for tenant_id, weight in zip(ids, weights, strict=True)
    }
    left = dict.fromkeys(ids, 30)
    served = dict.fromkeys(ids, 0)
    longest = {tenant_id: max(jobs) * 1_000 for tenant_id, jobs in zip(ids, costs, strict=True)}
    weight_of = dict(zip(ids, weights, strict=True))
    for start in simulate(arrivals, tenants, slots=slots, policy=OrderPolicy.CFS):
        served[start.tenant_id] += arrivals[start.index].cost_us
        left[start.tenant_id] -= 1
        if min(left.values()) == 0:  # one of them is no longer backlogged
            break
        for i in ids:
            for j in ids:
                gap = abs(served[i] / weight_of[i] - served[j] / weight_of[j])
                assert gap <= longest[i] / weight_of[i] + longest[j] / weight_of[j] + 1


def test_slots_do_not_idle_while_a_job_could_run() -> None:
    ids = [UUID(int=1), UUID(int=2)]
    arrivals = [Arrival(ids[n % 2], n * 1_000, 10_000) for n in range(40)]
    tenants = {tenant_id: SimulatedTenant(1_000, cap=10) for tenant_id in ids}
    starts = simulate(arrivals, tenants, slots=3, policy=OrderPolicy.CFS)
    assert max(start.end_us for start in starts) <= 40 * 10_000 / 3 + 2 * 10_000 + 2_000


def test_flood_delays_quiet_tenant_under_fifo_but_not_under_cfs() -> None:
    noisy, quiet = UUID(int=1), UUID(int=2)
    arrivals = [Arrival(noisy, 0, SECOND) for _ in range(100)] + [Arrival(quiet, 10, SECOND)]
    tenants = {noisy: SimulatedTenant(1_000, 10), quiet: SimulatedTenant(1_000, 10)}

    def wait(policy: OrderPolicy) -> int:
        return next(
            start.wait_us for start in simulate(arrivals, tenants, slots=2, policy=policy) if start.tenant_id == quiet
        )

    assert wait(OrderPolicy.FIFO) == 50 * SECOND - 10
    assert wait(OrderPolicy.CFS) == SECOND - 10
