"""Executions that yield at the end of a slice: tables, and properties of the pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduling.fairness.nodes import virtual_service
from scheduling.fairness.run_queue import EstimatedJobs, pick_fair
from scheduling.fairness.shares import KeyShare, PoolShare, TenantShare
from scheduling.fairness.slices import Running, choose_yields, unkeyed_jobs
from tests.examples import scaled
from tests.unit.scheduling.fairness.test_run_queue import SECOND, pool, queue, tenant

UNITS = 1_000 * SECOND  # of virtual time, a second at weight 1


def running(number: int, owner: TenantShare, **changes: object) -> Running:
    """Return an execution that was charged a second, has run for ten and used its slice."""
    values: dict[str, object] = {
        "queue_id": 1,
        "rank": number,
        "weight_milli": 1_000,
        "queue_weight_milli": 1_000,
        "charged_us": SECOND,
        "elapsed_us": 10 * SECOND,
        "is_used": True,
        "is_requested": False,
        "line": unkeyed_jobs(owner),
    }
    return Running(execution_id=UUID(int=number), owner=owner, **(values | changes))  # type: ignore[arg-type]


def numbers(asked: Sequence[UUID]) -> list[int]:
    return [execution_id.int for execution_id in asked]


A = tenant(1, vruntime=UNITS, in_flight=1)
WAITS = tenant(2, waiting=1)


@pytest.mark.parametrize(
    ("share", "executions", "free", "expected"),
    [
        # A job of a tenant without service waits: the holder of the slot yields.
        (pool(queue(WAITS)), [running(9, A)], 0, [9]),
        # Its slice is not used.
        (pool(queue(WAITS)), [running(9, A, is_used=False)], 0, []),
        # No job waits.
        (pool(queue()), [running(9, A)], 0, []),
        # Only jobs of its own tenant wait.
        (pool(queue(A)), [running(9, A)], 0, []),
        # A slot is free for the waiting job.
        (pool(queue(WAITS)), [running(9, A)], 1, []),
        # The waiting tenant is ahead by more than the ten seconds that the holder has run.
        (pool(queue(replace(WAITS, vruntime=11 * UNITS))), [running(9, A)], 0, []),
        (pool(queue(replace(WAITS, vruntime=9 * UNITS))), [running(9, A)], 0, [9]),
        # A charge above its running time does not count: it would be returned.
        (
            pool(queue(replace(WAITS, vruntime=11 * UNITS))),
            [running(9, replace(A, vruntime=60 * UNITS), charged_us=60 * SECOND)],
            0,
            [],
        ),
        # Continuing with one slot is no reason to lose the other: 20 s for both come before 25.
        (
            pool(queue(replace(WAITS, vruntime=25 * UNITS))),
            [running(number, tenant(1, vruntime=20 * UNITS, in_flight=2), charged_us=10 * SECOND) for number in (8, 9)],
            0,
            [],
        ),
        # The weight at its dispatch counts: ten seconds at weight 4 are two and a half.
        (
            pool(queue(replace(WAITS, vruntime=3 * UNITS))),
            [running(9, tenant(1, vruntime=UNITS // 4, in_flight=1), weight_milli=4_000)],
            0,
            [],
        ),
        # One waits, two could yield: the one furthest ahead does.
        (
            pool(queue(WAITS)),
            [running(8, tenant(3, vruntime=UNITS)), running(9, replace(A, vruntime=5 * UNITS))],
            0,
            [9],
        ),
        # One was already requested: it remains, although another is further ahead by now.
        (
            pool(queue(WAITS)),
            [running(8, tenant(3, vruntime=UNITS), is_requested=True), running(9, replace(A, vruntime=5 * UNITS))],
            0,
            [8],
        ),
        # The waiting job has ended: the request is withdrawn.
        (pool(queue()), [running(9, A, is_requested=True)], 0, []),
        # The tenant's cap keeps the waiting job from the slot.
        (pool(queue(WAITS), caps={2: 0}), [running(9, A)], 0, []),
        # So does its queue's, unless the slot is of that queue.
        (pool(queue(), queue(WAITS, queue_id=2, room=0)), [running(9, A)], 0, []),
        (pool(queue(WAITS, room=0)), [running(9, A)], 0, [9]),
        # The other queue has had less.
        (pool(queue(), queue(WAITS, queue_id=2)), [running(9, A)], 0, [9]),
        (pool(queue(), queue(WAITS, queue_id=2, vruntime=20 * UNITS)), [running(9, A)], 0, []),
        # A paused queue is not served: no slot could return to it.
        (pool(queue(WAITS, queue_id=2)), [running(9, A)], 0, []),
        # A pool with more jobs in flight than slots starts nothing for the first yield.
        (pool(queue(WAITS)), [running(9, A)], -1, []),
    ],
)
def test_execution_that_would_lose_its_slot_in_a_new_pick_yields(
    share: PoolShare, executions: list[Running], free: int, expected: list[int]
) -> None:
    assert numbers(choose_yields(share, EstimatedJobs(), executions, free=free)) == expected


def test_yields_are_limited_by_the_number_of_waiting_jobs() -> None:
    executions = [running(number, tenant(1, vruntime=4 * UNITS, in_flight=4)) for number in range(10, 14)]
    share = pool(queue(tenant(2, waiting=2), tenant(3, waiting=1)))
    # Of one tenant's jobs the last yield first.
    assert numbers(choose_yields(share, EstimatedJobs(), executions, free=0)) == [13, 12, 11]


def test_overrun_of_execution_with_unused_slice_counts() -> None:
    """Tenant 1 holds a used slot and one that overran by 30 s: with both it is ahead of the waiting tenant."""
    owner = tenant(1, vruntime=2 * UNITS, in_flight=2)
    share = pool(queue(replace(WAITS, vruntime=20 * UNITS)))
    used, young = running(8, owner), running(9, owner, elapsed_us=31 * SECOND, is_used=False)
    assert numbers(choose_yields(share, EstimatedJobs(), [used], free=0)) == []
    assert numbers(choose_yields(share, EstimatedJobs(), [used, young], free=0)) == [8]


def test_key_with_less_service_gets_the_slot_of_its_tenant() -> None:
    """A user's long job does not block another user of its tenant; the first user's next job waits."""
    long_line = KeyShare(entity_id=11, vruntime=UNITS, in_flight=1, head_rank=0, waiting=0, estimate_us=SECOND)
    short_line = KeyShare(entity_id=12, vruntime=0, in_flight=0, head_rank=5, waiting=1, estimate_us=SECOND)
    holder, waits = running(9, A, line=long_line), replace(A, waiting=1)

    def asked(tenant_share: TenantShare) -> list[int]:
        return numbers(choose_yields(pool(queue(tenant_share)), EstimatedJobs(), [holder], free=0))

    assert asked(replace(waits, keys=[short_line])) == [9]
    assert asked(replace(waits, keys=[replace(short_line, vruntime=11 * UNITS)])) == []
    assert asked(replace(waits, keys=[replace(long_line, waiting=1)])) == []
    # Jobs without a key are a line beside the keys, too.
    assert asked(waits) == [9]


WEIGHTS = st.sampled_from([1_000, 2_000, 4_000])


@st.composite
def pools(draw: st.DrawFn) -> tuple[PoolShare, list[Running], int]:
    """Draw two queues, tenants that wait, run or both, and free slots. All virtual times differ."""
    queues, executions, numbering = [], [], iter(range(1, 200))
    for queue_id in (1, 2):
        queue_weight, clock = draw(WEIGHTS), draw(st.integers(0, 20)) * UNITS
        shares = [
            tenant(
                number := next(numbering),
                weight_milli=draw(WEIGHTS),
                vruntime=clock + draw(st.integers(0, 60)) * UNITS + number,
                in_flight=draw(st.integers(0, 3)),
                waiting=draw(st.integers(0, 4)),
                estimate_us=draw(st.integers(1, 20)) * SECOND,
            )
            for _ in range(draw(st.integers(0, 4)))
        ]
        executions += [
            running(
                next(numbering),
                share,
                queue_id=queue_id,
                rank=draw(st.integers(0, 99)),
                weight_milli=share.weight_milli,
                queue_weight_milli=queue_weight,
                charged_us=draw(st.integers(1, 30)) * SECOND,
                elapsed_us=draw(st.integers(0, 60)) * SECOND,
                is_used=draw(st.booleans()),
            )
            for share in shares
            for _ in range(share.in_flight)
        ]
        queues.append(
            queue(
                *(share for share in shares if share.waiting),
                queue_id=queue_id,
                weight_milli=queue_weight,
                vruntime=draw(st.integers(0, 60)) * UNITS + queue_id,
                virtual_time=clock,
            )
        )
    return pool(*queues), executions, draw(st.integers(0, 2))


def after_yielding(share: PoolShare, executions: Sequence[Running], asked: set[UUID], free: int) -> PoolShare:
    """Return the pool after the requested executions were settled and wait again, as the tables would show it."""
    queues = []
    for one_queue in share.queues:
        vruntime = one_queue.vruntime
        tenants = {one.entity_id: one for one in one_queue.tenants}
        for one in (one for one in executions if one.queue_id == one_queue.queue_id):
            is_back = one.execution_id in asked
            cost = one.elapsed_us if is_back else max(one.elapsed_us, one.charged_us)
            vruntime += virtual_service(cost - one.charged_us, one.queue_weight_milli)
            known = tenants.get(one.owner.entity_id, replace(one.owner, waiting=0))
            tenants[known.entity_id] = replace(
                known,
                vruntime=known.vruntime + virtual_service(cost - one.charged_us, one.weight_milli),
                in_flight=known.in_flight - is_back,
                waiting=known.waiting + is_back,
            )
        queues.append(replace(one_queue, vruntime=vruntime, tenants=[one for one in tenants.values() if one.waiting]))
    everybody = {one.tenant_id: 1_000 for one_queue in queues for one in one_queue.tenants}
    return replace(share, queues=queues, room=free + len(asked), tenant_room=everybody)


PROPERTY = settings(max_examples=scaled(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PROPERTY
@given(pools())
def test_yielded_slot_goes_to_the_waiting_job_next_in_order(
    case: tuple[PoolShare, list[Running], int],
) -> None:
    """No execution yields without effect: not for itself, and not for a job with a greater virtual time."""
    share, executions, free = case
    asked = set(choose_yields(share, EstimatedJobs(), executions, free=free))
    picks = pick_fair(after_yielding(share, executions, asked, free), EstimatedJobs()).picks
    yielding = {one.owner.entity_id for one in executions if one.execution_id in asked}
    assert len(picks) == free + len(asked) or not asked
    assert not yielding & {pick.entity_id for pick in picks}


@PROPERTY
@given(pools())
def test_yields_are_used_slices_and_at_most_the_waiting_jobs(case: tuple[PoolShare, list[Running], int]) -> None:
    share, executions, free = case
    asked = choose_yields(share, EstimatedJobs(), executions, free=free)
    waiting = sum(one.waiting for one_queue in share.queues for one in one_queue.tenants)
    assert len(asked) == len(set(asked)) <= max(0, waiting - free)
    assert set(asked) <= {one.execution_id for one in executions if one.is_used}


@PROPERTY
@given(pools())
def test_repeated_decision_is_the_same(case: tuple[PoolShare, list[Running], int]) -> None:
    share, executions, free = case
    asked = set(choose_yields(share, EstimatedJobs(), executions, free=free))
    again = [replace(one, is_requested=one.execution_id in asked) for one in executions]
    assert set(choose_yields(share, EstimatedJobs(), again, free=free)) == asked


@PROPERTY
@given(pools())
def test_yields_are_as_many_as_jobs_would_start(case: tuple[PoolShare, list[Running], int]) -> None:
    """An execution that continues with a used slice precedes every waiting job: no further yield would help."""
    share, executions, free = case
    # The remainder of a charge assumes that continuing executions are charged, and yielding ones are not.
    executions = [replace(one, elapsed_us=one.elapsed_us + one.charged_us) for one in executions]
    asked = set(choose_yields(share, EstimatedJobs(), executions, free=free))
    for one in executions:
        if one.is_used and one.execution_id not in asked:
            more = asked | {one.execution_id}
            picks = pick_fair(after_yielding(share, executions, more, free), EstimatedJobs()).picks
            gives = {other.owner.entity_id for other in executions if other.execution_id in more}
            # A further slot would return to a yielding tenant, or stay idle.
            assert len(picks) < free + len(more) or gives & {pick.entity_id for pick in picks}
