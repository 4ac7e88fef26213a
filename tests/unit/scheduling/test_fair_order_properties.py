"""What the fair order promises, held to by checkers that each catch a planted bug."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fair_bugs import (
    CountsEachKey,
    ForgetsCorrections,
    GivesCredit,
    HidesBehindTheCapped,
    IgnoresWeights,
    KnowsNoKeys,
    LastComeFirst,
    LeavesASlotIdle,
    NeverServesTheLast,
    TurnsWeightsAround,
)
from tests.fair_checks import (
    Run,
    Violations,
    Work,
    beyond_the_bound,
    beyond_the_bound_of_keys,
    idle_slots,
    out_of_order,
    starved,
    unbalanced,
)
from tests.fair_model import Model

BOUNDED = settings(max_examples=8, deadline=None, derandomize=True)
MILLISECOND = 1_000

COST = st.integers(1, 60).map(lambda cost: cost * MILLISECOND)


@st.composite
def works(draw: st.DrawFn, *, jobs: int = 15, keys: int = 3, late: bool = False) -> list[Work]:
    made = []
    for number in range(draw(st.integers(2, 4))):
        at = 200 * MILLISECOND if late and number == 1 else 0
        costs = draw(st.lists(COST, min_size=jobs, max_size=jobs))
        names = ["", *(f"k{n}" for n in range(1, draw(st.integers(1, keys))))]
        made.append(
            Work(draw(st.integers(1, 8)), tuple((names[n % len(names)], cost, at) for n, cost in enumerate(costs)))
        )
    return made


@BOUNDED
@given(works=works(), slots=st.integers(1, 7))
def test_tenants_and_keys_stay_within_the_bound_at_any_number_of_slots(works: list[Work], slots: int) -> None:
    run = Run(Model, works, slots)
    assert beyond_the_bound(run) == []
    assert beyond_the_bound_of_keys(run) == []


@BOUNDED
@given(works=works(late=True), slots=st.integers(1, 7))
def test_who_comes_late_is_served_soon_and_has_no_credit(works: list[Work], slots: int) -> None:
    run = Run(Model, works, slots)
    assert beyond_the_bound(run) == []
    assert starved(run) == []


@BOUNDED
@given(works=works(), slots=st.integers(1, 7), caps=st.lists(st.integers(1, 3), min_size=4, max_size=4))
def test_no_slot_idles_that_an_eligible_job_could_have(works: list[Work], slots: int, caps: list[int]) -> None:
    capped = [replace(work, cap=cap) for work, cap in zip(works, caps, strict=False)]
    run = Run(Model, capped, slots)
    assert idle_slots(run) == []
    assert len(run.starts) == sum(len(work.jobs) for work in works)


@BOUNDED
@given(works=works(), slots=st.integers(1, 7), predicted=st.integers(1, 10**6))
def test_charges_are_the_measured_service_whatever_was_predicted(works: list[Work], slots: int, predicted: int) -> None:
    assert unbalanced(Run(Model, works, slots, predicted=predicted)) == []


@BOUNDED
@given(works=works(jobs=40, keys=1), slots=st.integers(1, 5), factor=st.integers(2, 8))
def test_more_weight_never_means_less_service(works: list[Work], slots: int, factor: int) -> None:
    assert lost_by_weight(Model, works, slots, factor) == []


def lost_by_weight(kind: type[Model], works: list[Work], slots: int, factor: int) -> Violations:
    """What the first tenant has had when it, or anyone, first runs out of jobs, before and after it weighs more.

    Service comes in jobs, so a job's length either way is no loss.
    """
    heavier = [replace(works[0], weight=works[0].weight * factor), *works[1:]]
    before, after = (served_while_all_wait(Run(kind, some, slots), 40) for some in (works, heavier))
    least = max(cost for _, cost, _ in works[0].jobs)
    return [] if after + least >= before else [f"{before} before, {after} after"]


def served_while_all_wait(run: Run, count: int) -> int:
    """Service of the first tenant within the first ``count`` starts' worth of all service."""
    total = sum(start.cost for start in run.starts[:count])
    served = seen = 0
    for start in run.starts:
        seen += start.cost
        if seen > total:
            break
        served += start.cost if start.tenant == 0 else 0
    return served


def gain_of_keys(kind: type[Model]) -> float:
    """How much more a tenant has had that splits its work over twenty keys than its equal that does not."""
    chance = Random(4)
    jobs = [[chance.randrange(1, 60) * MILLISECOND for _ in range(400)] for _ in range(2)]
    works = [
        Work(1, tuple((f"k{n % 20}", cost, 0) for n, cost in enumerate(jobs[0]))),
        Work(1, tuple(("", cost, 0) for cost in jobs[1])),
    ]
    served: Counter[int] = Counter()
    for start in Run(kind, works, 5).starts[:600]:
        served[start.tenant] += start.cost
    return served[0] / served[1] - 1


def test_twenty_keys_gain_a_tenant_at_most_two_in_a_hundred() -> None:
    assert abs(gain_of_keys(Model)) <= 0.02
    assert gain_of_keys(CountsEachKey) > 0.02


def typical(*, late: bool = False, cap: int = 10**6) -> list[Work]:
    chance = Random(7)
    return [
        Work(
            weight,
            tuple(
                (key, chance.randrange(1, 60) * MILLISECOND, 300 * MILLISECOND if late and number == 1 else 0)
                for n in range(60)
                for key in [("", "k1", "k2")[n % 3]]
            ),
            cap,
        )
        for number, weight in enumerate((1, 2, 5))
    ]


def equal() -> list[Work]:
    return [Work(1, tuple(("", MILLISECOND, 0) for _ in range(5))) for _ in range(4)]


CAUGHT: list[tuple[Callable[[Run], Violations], type[Model], Callable[[type[Model]], Run]]] = [
    (beyond_the_bound, IgnoresWeights, lambda kind: Run(kind, typical(), 3)),
    (beyond_the_bound, TurnsWeightsAround, lambda kind: Run(kind, typical(), 3)),
    (beyond_the_bound, GivesCredit, lambda kind: Run(kind, typical(late=True), 3)),
    (beyond_the_bound_of_keys, KnowsNoKeys, lambda kind: Run(kind, typical(), 3)),
    (idle_slots, LeavesASlotIdle, lambda kind: Run(kind, typical(), 3)),
    (idle_slots, HidesBehindTheCapped, lambda kind: Run(kind, typical(cap=2), 5)),
    (starved, NeverServesTheLast, lambda kind: Run(kind, typical(), 3)),
    (unbalanced, ForgetsCorrections, lambda kind: Run(kind, typical(), 3, predicted=MILLISECOND)),
    (out_of_order, LastComeFirst, lambda kind: Run(kind, equal(), 1)),
]


@pytest.mark.parametrize(("check", "bug", "run"), CAUGHT, ids=lambda value: getattr(value, "__name__", ""))
def test_each_checker_catches_a_planted_bug(
    check: Callable[[Run], Violations], bug: type[Model], run: Callable[[type[Model]], Run]
) -> None:
    assert check(run(Model)) == []
    assert check(run(bug))


def test_the_checker_of_weights_catches_weights_turned_around() -> None:
    works = [replace(work, jobs=tuple(("", cost, at) for _, cost, at in work.jobs)) for work in typical()]
    assert lost_by_weight(Model, works, 3, 8) == []
    assert lost_by_weight(TurnsWeightsAround, works, 3, 8)
