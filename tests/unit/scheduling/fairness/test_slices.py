"""Who is asked for its slot at the end of a slice: tables, and properties of the pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduling.fairness.lines import virtual_service
from scheduling.fairness.run_queue import EstimatedSupply, pick_fair
from scheduling.fairness.shares import KeyShare, PoolShare, TenantShare
from scheduling.fairness.slices import Running, choose_yields, own_line
from tests.unit.scheduling.fairness.test_run_queue import SECOND, pool, queue, tenant

UNITS = 1_000 * SECOND  # of virtual time, a second at weight 1


def running(number: int, owner: TenantShare, **changes: object) -> Running:
    """An execution that was charged a second, has taken ten and used its slice."""
    values: dict[str, object] = {
        "queue_id": 1,
        "rank": number,
        "weight_milli": 1_000,
        "queue_weight_milli": 1_000,
        "charged_us": SECOND,
        "elapsed_us": 10 * SECOND,
        "is_used": True,
        "is_asked": False,
        "line": own_line(owner),
    }
    return Running(execution_id=UUID(int=number), owner=owner, **(values | changes))  # type: ignore[arg-type]


def numbers(asked: Sequence[UUID]) -> list[int]:
    return [execution_id.int for execution_id in asked]


A = tenant(1, vruntime=UNITS, in_flight=1)
WAITS = tenant(2, waiting=1)


@pytest.mark.parametrize(
    ("share", "executions", "free", "expected"),
    [
        # One waits who has had nothing: the slot's holder is asked.
        (pool(queue(WAITS)), [running(9, A)], 0, [9]),
        # Its slice is not used.
        (pool(queue(WAITS)), [running(9, A, is_used=False)], 0, []),
        # Nobody waits.
        (pool(queue()), [running(9, A)], 0, []),
        # Only its own tenant's jobs wait.
        (pool(queue(A)), [running(9, A)], 0, []),
        # A slot is free for the one who waits.
        (pool(queue(WAITS)), [running(9, A)], 1, []),
        # The one who waits is ahead by more than the ten seconds that the holder has run.
        (pool(queue(replace(WAITS, vruntime=11 * UNITS))), [running(9, A)], 0, []),
        (pool(queue(replace(WAITS, vruntime=9 * UNITS))), [running(9, A)], 0, [9]),
        # A charge above what it has run does not count: it would be given back.
        (
            pool(queue(replace(WAITS, vruntime=11 * UNITS))),
            [running(9, replace(A, vruntime=60 * UNITS), charged_us=60 * SECOND)],
            0,
            [],
        ),
        # To go on with one slot is no reason to lose the other: 20 s for both come before 25.
        (
            pool(queue(replace(WAITS, vruntime=25 * UNITS))),
            [running(number, tenant(1, vruntime=20 * UNITS, in_flight=2), charged_us=10 * SECOND) for number in (8, 9)],
            0,
            [],
        ),
        # The weight of its dispatch counts: ten seconds at weight 4 are two and a half.
        (
            pool(queue(replace(WAITS, vruntime=3 * UNITS))),
            [running(9, tenant(1, vruntime=UNITS // 4, in_flight=1), weight_milli=4_000)],
            0,
            [],
        ),
        # One waits, two could go: of them the one furthest ahead.
        (
            pool(queue(WAITS)),
            [running(8, tenant(3, vruntime=UNITS)), running(9, replace(A, vruntime=5 * UNITS))],
            0,
            [9],
        ),
        # One was asked already: it stays asked though another is further ahead by now.
        (
            pool(queue(WAITS)),
            [running(8, tenant(3, vruntime=UNITS), is_asked=True), running(9, replace(A, vruntime=5 * UNITS))],
            0,
            [8],
        ),
        # The one it was asked for is gone: it is let go on.
        (pool(queue()), [running(9, A, is_asked=True)], 0, []),
        # The tenant's cap keeps the one who waits from the slot.
        (pool(queue(WAITS), caps={2: 0}), [running(9, A)], 0, []),
        # So does its queue's, unless the slot is of that queue.
        (pool(queue(), queue(WAITS, queue_id=2, room=0)), [running(9, A)], 0, []),
        (pool(queue(WAITS, room=0)), [running(9, A)], 0, [9]),
        # The other queue has had less.
        (pool(queue(), queue(WAITS, queue_id=2)), [running(9, A)], 0, [9]),
        (pool(queue(), queue(WAITS, queue_id=2, vruntime=20 * UNITS)), [running(9, A)], 0, []),
        # A queue that is paused is not among those that may be served: nothing of it could come back.
        (pool(queue(WAITS, queue_id=2)), [running(9, A)], 0, []),
        # A pool with more in flight than slots hands out nothing for the first that yields.
        (pool(queue(WAITS)), [running(9, A)], -1, []),
    ],
)
def test_whoever_would_lose_its_slot_in_a_pick_anew_is_asked(
    share: PoolShare, executions: list[Running], free: int, expected: list[int]
) -> None:
    assert numbers(choose_yields(share, EstimatedSupply(), executions, free=free)) == expected


def test_as_many_are_asked_as_wait_and_no_more() -> None:
    executions = [running(number, tenant(1, vruntime=4 * UNITS, in_flight=4)) for number in range(10, 14)]
    share = pool(queue(tenant(2, waiting=2), tenant(3, waiting=1)))
    # Of one tenant's jobs the last go first.
    assert numbers(choose_yields(share, EstimatedSupply(), executions, free=0)) == [13, 12, 11]


def test_what_runs_beyond_its_prediction_counts_though_its_slice_is_not_used() -> None:
    """Tenant 1 holds a used slot and one that overran by 30 s: with both it is ahead of the one who waits."""
    owner = tenant(1, vruntime=2 * UNITS, in_flight=2)
    share = pool(queue(replace(WAITS, vruntime=20 * UNITS)))
    used, young = running(8, owner), running(9, owner, elapsed_us=31 * SECOND, is_used=False)
    assert numbers(choose_yields(share, EstimatedSupply(), [used], free=0)) == []
    assert numbers(choose_yields(share, EstimatedSupply(), [used, young], free=0)) == [8]


def test_among_the_keys_of_one_tenant_the_one_that_had_less_gets_the_slot() -> None:
    """A user's long job does not keep another user of its tenant waiting; its own next job does not either."""
    long_line = KeyShare(entity_id=11, vruntime=UNITS, in_flight=1, head_rank=0, waiting=0, estimate_us=SECOND)
    short_line = KeyShare(entity_id=12, vruntime=0, in_flight=0, head_rank=5, waiting=1, estimate_us=SECOND)
    holder, waits = running(9, A, line=long_line), replace(A, waiting=1)

    def asked(tenant_share: TenantShare) -> list[int]:
        return numbers(choose_yields(pool(queue(tenant_share)), EstimatedSupply(), [holder], free=0))

    assert asked(replace(waits, keys=[short_line])) == [9]
    assert asked(replace(waits, keys=[replace(short_line, vruntime=11 * UNITS)])) == []
    assert asked(replace(waits, keys=[replace(long_line, waiting=1)])) == []
    # Beside its keys the jobs without one are a line, too.
    assert asked(waits) == [9]


WEIGHTS = st.sampled_from([1_000, 2_000, 4_000])


@st.composite
def pools(draw: st.DrawFn) -> tuple[PoolShare, list[Running], int]:
    """Two queues, tenants that wait, run or both, and any number of free slots. No two virtual times are the same."""
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
    """The pool once those who were asked have been settled and wait again, as the tables would have it."""
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


PROPERTY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PROPERTY
@given(pools())
def test_each_slot_that_is_given_goes_to_one_who_waited_and_comes_first(
    case: tuple[PoolShare, list[Running], int],
) -> None:
    """So nobody yields for nothing: not for itself, not for one whose virtual time is greater than its own."""
    share, executions, free = case
    asked = set(choose_yields(share, EstimatedSupply(), executions, free=free))
    picks = pick_fair(after_yielding(share, executions, asked, free), EstimatedSupply()).picks
    yielding = {one.owner.entity_id for one in executions if one.execution_id in asked}
    assert len(picks) == free + len(asked) or not asked
    assert not yielding & {pick.entity_id for pick in picks}


@PROPERTY
@given(pools())
def test_only_used_slices_are_asked_for_and_never_more_than_wait(case: tuple[PoolShare, list[Running], int]) -> None:
    share, executions, free = case
    asked = choose_yields(share, EstimatedSupply(), executions, free=free)
    waiting = sum(one.waiting for one_queue in share.queues for one in one_queue.tenants)
    assert len(asked) == len(set(asked)) <= max(0, waiting - free)
    assert set(asked) <= {one.execution_id for one in executions if one.is_used}


@PROPERTY
@given(pools())
def test_a_decision_made_again_is_the_same(case: tuple[PoolShare, list[Running], int]) -> None:
    share, executions, free = case
    asked = set(choose_yields(share, EstimatedSupply(), executions, free=free))
    again = [replace(one, is_asked=one.execution_id in asked) for one in executions]
    assert set(choose_yields(share, EstimatedSupply(), again, free=free)) == asked


@PROPERTY
@given(pools())
def test_as_many_are_asked_as_would_start_for_it(case: tuple[PoolShare, list[Running], int]) -> None:
    """Whoever goes on with a used slice does not come after one who waits still: there is nothing left to ask for."""
    share, executions, free = case
    # What is left of a charge is a guess that who goes on is charged, and who yields is not.
    executions = [replace(one, elapsed_us=one.elapsed_us + one.charged_us) for one in executions]
    asked = set(choose_yields(share, EstimatedSupply(), executions, free=free))
    for one in executions:
        if one.is_used and one.execution_id not in asked:
            more = asked | {one.execution_id}
            picks = pick_fair(after_yielding(share, executions, more, free), EstimatedSupply()).picks
            gives = {other.owner.entity_id for other in executions if other.execution_id in more}
            # One more slot would come straight back to somebody who gave it, or to nobody.
            assert len(picks) < free + len(more) or gives & {pick.entity_id for pick in picks}
