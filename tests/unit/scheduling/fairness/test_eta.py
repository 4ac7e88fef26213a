"""The fluid: what can be reckoned by hand, what must hold always, and how near it comes to the discrete order."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.eta import Backlog, Outlook, QueueBacklogs, estimate_start
from scheduling.fairness.lab import Arrival, Policy, SimulatedTenant, simulate

SECOND = 1e6


def outlook(
    ahead: float, *others: Backlog, slots: int = 1, cap: float = 100.0, running: tuple[float, ...] = ()
) -> Outlook:
    own = Backlog(1.0, ahead * SECOND, cap, jobs=ahead)
    return Outlook(slots, [QueueBacklogs(1.0, list(others))], own, [end * SECOND for end in running])


def lasting(seconds: float, weight: float = 1.0, cap: float = inf) -> Backlog:
    return Backlog(weight, seconds * SECOND, cap)


def seconds(value: Outlook) -> float | None:
    estimate = estimate_start(value)
    return None if estimate is None else round(estimate.wait_us / SECOND, 3)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (outlook(0), 0),
        (outlook(10), 10),
        (outlook(10, slots=4), 2.5),
        # Its cap, not the pool, is what it gets.
        (outlook(10, slots=4, cap=2), 5),
        # Shared evenly with one that lasts longer; with one that has three seconds only, those three.
        (outlook(10, lasting(100)), 20),
        (outlook(10, lasting(3)), 13),
        # Three times the weight.
        (outlook(10, lasting(100, weight=3)), 40),
        # A capped neighbour leaves the rest.
        (outlook(10, lasting(100, weight=3, cap=1), slots=3), 5),
        # Nothing flows before the first slot is free; then half the pool does until the second is.
        (outlook(0, slots=2, running=(5, 9)), 5),
        (outlook(6, slots=2, running=(5, 9)), 10),
        # No slots, no start.
        (outlook(1, slots=0), None),
    ],
)
def test_what_can_be_reckoned_by_hand(case: Outlook, expected: float | None) -> None:
    assert seconds(case) == expected


def test_a_queue_with_three_times_the_weight_goes_three_times_as_fast() -> None:
    case = outlook(10)
    other = QueueBacklogs(3.0, [lasting(1_000)])
    assert seconds(replace(case, queues=[*case.queues, other])) == 40
    capped = replace(other, cap=0.5)
    assert seconds(replace(case, queues=[*case.queues, capped])) == 20


def test_what_it_runs_itself_uses_up_its_cap() -> None:
    case = outlook(4, slots=4, cap=1, running=(3,))
    assert seconds(replace(case, own_running_us=[3 * SECOND])) == 7


def test_others_jobs_before_it_are_counted_as_they_flow() -> None:
    estimate = estimate_start(outlook(10, Backlog(1.0, 100 * SECOND, jobs=50.0)))
    assert estimate is not None
    assert round(estimate.others_jobs, 3) == 5


backlogs = st.builds(
    Backlog,
    weight=st.floats(0.1, 10),
    work_us=st.floats(0, 1e9),
    cap=st.floats(0.5, 20),
    jobs=st.floats(0, 1_000),
)
queues = st.builds(
    QueueBacklogs,
    weight=st.floats(0.5, 10),
    backlogs=st.lists(backlogs, max_size=5),
    cap=st.one_of(st.just(inf), st.floats(0.5, 20)),
)
outlooks = st.builds(
    Outlook,
    slots=st.integers(1, 16),
    queues=st.lists(queues, min_size=1, max_size=3),
    own=backlogs,
    running_us=st.lists(st.floats(0, 1e8), max_size=16),
)


def wait(case: Outlook) -> float:
    estimate = estimate_start(case)
    assert estimate is not None
    return estimate.wait_us


@given(outlooks)
def test_it_lies_between_alone_in_the_pool_and_alone_in_its_least_part(case: Outlook) -> None:
    estimate = estimate_start(case)
    assert estimate is not None
    own, queue = case.own, case.queues[0]
    assert estimate.wait_us >= own.work_us / min(case.slots, own.cap, queue.cap) - 1
    part = own.weight / (own.weight + sum(backlog.weight for backlog in queue.backlogs))
    of_pool = queue.weight / sum(each.weight for each in case.queues)
    slowest = min(case.slots * of_pool * part, own.cap, queue.cap * part)
    assert estimate.wait_us <= max(case.running_us, default=0) + (own.work_us + 1) / slowest * 1.001 + 1
    assert estimate.low_us <= estimate.wait_us <= estimate.high_us
    assert estimate.others_jobs >= 0


@given(outlooks, st.floats(0, 1e9))
def test_more_work_ahead_is_never_sooner(case: Outlook, more: float) -> None:
    longer = replace(case, own=replace(case.own, work_us=case.own.work_us + more))
    assert wait(longer) >= wait(case) * 0.999 - 1


def test_backlogs_that_end_together_but_for_a_rounding_both_end() -> None:
    other = Backlog(weight=0.10000000000000002, work_us=1.0, cap=1)
    own = Backlog(weight=0.1, work_us=0, cap=1, jobs=0)
    assert wait(Outlook(1, [QueueBacklogs(1.0, [other])], own, [])) == pytest.approx(2.0)


@given(outlooks)
def test_an_idle_pool_is_never_later(case: Outlook) -> None:
    assert wait(replace(case, running_us=[])) <= wait(case) * 1.001 + 1


@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from([1, 2, 4])), min_size=1, max_size=5), st.integers(1, 4))
def test_it_is_within_a_job_a_tenant_of_the_discrete_order(loads: list[tuple[int, int]], slots: int) -> None:
    """Jobs of a second each: when the last one of the first tenant starts, and when the fluid says it does."""
    ids = [UUID(int=number + 1) for number in range(len(loads))]
    tenants = {id_: SimulatedTenant(weight * 1_000, 100) for id_, (_, weight) in zip(ids, loads, strict=True)}
    arrivals = [Arrival(id_, 0, 1_000_000) for id_, (jobs, _) in zip(ids, loads, strict=True) for _ in range(jobs)]
    starts = simulate(arrivals, tenants, slots=slots, policy=Policy.CFS)
    last = max(start.start_us for start in starts if start.tenant_id == ids[0])
    own, *others = [Backlog(float(weight), jobs * SECOND) for jobs, weight in loads]
    own = replace(own, work_us=own.work_us - SECOND)
    fluid = wait(Outlook(slots, [QueueBacklogs(1.0, others)], own, []))
    around = sum(1 + weight / loads[0][1] for _, weight in loads)
    assert abs(fluid - last) <= SECOND * (1 + around / slots)
