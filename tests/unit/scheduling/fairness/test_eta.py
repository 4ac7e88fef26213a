"""The fluid estimate: values calculated by hand, invariants, and the distance from the discrete order."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.eta import (
    Backlog,
    EtaInput,
    PredictionError,
    QueueBacklogs,
    combine_errors,
    estimate_start,
    rate_cap,
)
from scheduling.fairness.lab import Arrival, OrderPolicy, SimulatedTenant, simulate

SECOND = 1e6


def outlook(
    ahead: float, *others: Backlog, slots: int = 1, cap: float = 100.0, running: tuple[float, ...] = ()
) -> EtaInput:
    own = Backlog(1.0, ahead * SECOND, cap, jobs=ahead)
    return EtaInput(slots, [QueueBacklogs(1.0, list(others))], own, [end * SECOND for end in running])


def lasting(seconds: float, weight: float = 1.0, cap: float = inf) -> Backlog:
    return Backlog(weight, seconds * SECOND, cap)


def seconds(value: EtaInput) -> float | None:
    estimate = estimate_start(value)
    return None if estimate is None else round(estimate.wait_us / SECOND, 3)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (outlook(0), 0),
        (outlook(10), 10),
        (outlook(10, slots=4), 2.5),
        # Limited by its cap, not by the pool.
        (outlook(10, slots=4, cap=2), 5),
        # Shared evenly with a longer backlog; with one of three seconds, only those three.
        (outlook(10, lasting(100)), 20),
        (outlook(10, lasting(3)), 13),
        # Three times the weight.
        (outlook(10, lasting(100, weight=3)), 40),
        # A capped neighbour leaves the rest.
        (outlook(10, lasting(100, weight=3, cap=1), slots=3), 5),
        # Nothing flows before the first slot is free; then half the pool flows until the second is.
        (outlook(0, slots=2, running=(5, 9)), 5),
        (outlook(6, slots=2, running=(5, 9)), 10),
        # No slots, no start.
        (outlook(1, slots=0), None),
    ],
)
def test_estimate_equals_values_calculated_by_hand(case: EtaInput, expected: float | None) -> None:
    assert seconds(case) == expected


def test_queue_with_three_times_the_weight_is_three_times_as_fast() -> None:
    case = outlook(10)
    other = QueueBacklogs(3.0, [lasting(1_000)])
    assert seconds(replace(case, queues=[*case.queues, other])) == 40
    capped = replace(other, cap=0.5)
    assert seconds(replace(case, queues=[*case.queues, capped])) == 20


def test_running_jobs_of_the_tenant_use_its_cap() -> None:
    case = outlook(4, slots=4, cap=1, running=(3,))
    assert seconds(replace(case, own_running_us=[3 * SECOND])) == 7


def test_rate_allows_slots_by_the_mean_cost() -> None:
    assert rate_cap(10, [Backlog(1.0, 6 * SECOND, jobs=2)]) == pytest.approx(0.5)
    assert rate_cap(10, [], default_us=6 * SECOND) == pytest.approx(1.0)
    assert rate_cap(None, []) == inf


def test_jobs_of_others_before_the_start_are_counted() -> None:
    estimate = estimate_start(outlook(10, Backlog(1.0, 100 * SECOND, jobs=50.0)))
    assert estimate is not None
    assert round(estimate.others_jobs, 3) == 5


def band(ahead: float, mean: float, bias: float = 0.0) -> tuple[float, float]:
    """Return the ends of the band over the estimate, of a job behind so many of a second each."""
    estimate = estimate_start(outlook(ahead), PredictionError(mean, bias))
    assert estimate is not None
    return estimate.low_us / estimate.wait_us, estimate.high_us / estimate.wait_us


def test_band_is_as_wide_as_the_errors_of_the_predictions() -> None:
    exact, rough, unknown = band(100, 0.0), band(100, 0.5), band(100, 50.0)
    assert exact[0] > 0.9
    assert exact[0] > rough[0] > unknown[0]
    assert exact[1] < rough[1] < unknown[1]
    # Errors of many jobs cancel out.
    assert band(1_000, 0.5)[0] > rough[0]


def test_drift_widens_the_band_however_many_jobs_are_ahead() -> None:
    assert band(10_000, 0.5, bias=-0.5)[0] < 0.8
    assert band(10_000, 0.5)[0] > 0.9


def test_errors_of_kinds_count_by_their_jobs() -> None:
    assert combine_errors([(3, PredictionError(0.1, -0.1)), (1, PredictionError(0.5, 0.3))]) == PredictionError(
        pytest.approx(0.2), pytest.approx(0.0)
    )
    assert combine_errors([]) == PredictionError()


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
    EtaInput,
    slots=st.integers(1, 16),
    queues=st.lists(queues, min_size=1, max_size=3),
    own=backlogs,
    running_us=st.lists(st.floats(0, 1e8), max_size=16),
)


def wait(case: EtaInput) -> float:
    estimate = estimate_start(case)
    assert estimate is not None
    return estimate.wait_us


@given(outlooks)
def test_estimate_is_between_whole_pool_and_least_share(case: EtaInput) -> None:
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
def test_more_work_ahead_never_shortens_the_estimate(case: EtaInput, more: float) -> None:
    longer = replace(case, own=replace(case.own, work_us=case.own.work_us + more))
    assert wait(longer) >= wait(case) * 0.999 - 1


def test_backlogs_that_end_together_except_for_rounding_both_end() -> None:
    other = Backlog(weight=0.10000000000000002, work_us=1.0, cap=1)
    own = Backlog(weight=0.1, work_us=0, cap=1, jobs=0)
    assert wait(EtaInput(1, [QueueBacklogs(1.0, [other])], own, [])) == pytest.approx(2.0)


@given(outlooks)
def test_idle_pool_never_lengthens_the_estimate(case: EtaInput) -> None:
    assert wait(replace(case, running_us=[])) <= wait(case) * 1.001 + 1


@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from([1, 2, 4])), min_size=1, max_size=5), st.integers(1, 4))
def test_estimate_is_within_one_job_per_tenant_of_the_discrete_order(loads: list[tuple[int, int]], slots: int) -> None:
    """Jobs of a second each: compare the start of the last job of the first tenant with the fluid estimate."""
    ids = [UUID(int=number + 1) for number in range(len(loads))]
    tenants = {id_: SimulatedTenant(weight * 1_000, 100) for id_, (_, weight) in zip(ids, loads, strict=True)}
    arrivals = [Arrival(id_, 0, 1_000_000) for id_, (jobs, _) in zip(ids, loads, strict=True) for _ in range(jobs)]
    starts = simulate(arrivals, tenants, slots=slots, policy=OrderPolicy.CFS)
    last = max(start.start_us for start in starts if start.tenant_id == ids[0])
    own, *others = [Backlog(float(weight), jobs * SECOND) for jobs, weight in loads]
    own = replace(own, work_us=own.work_us - SECOND)
    fluid = wait(EtaInput(slots, [QueueBacklogs(1.0, others)], own, []))
    around = sum(1 + weight / loads[0][1] for _, weight in loads)
    assert abs(fluid - last) <= SECOND * (1 + around / slots)
