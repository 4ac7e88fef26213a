"""Error budgets and burn rates of objectives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.objectives.rules import LEAST_JOBS, Counts, steady_burn

numbers = st.integers(0, 10**6)


def test_burn_of_exactly_the_budget_is_one() -> None:
    assert Counts(good=95, late=5).burn(0.95) == pytest.approx(1)
    assert Counts(good=95, late=5).budget_left(0.95) == pytest.approx(0)


def test_overspent_budget_is_below_zero() -> None:
    assert Counts(good=90, late=10).budget_left(0.95) == pytest.approx(-1)


def test_too_few_jobs_burn_nothing() -> None:
    assert Counts(good=0, late=LEAST_JOBS - 1).burn(0.95) == 0
    assert Counts(good=0, late=LEAST_JOBS).burn(0.95) == pytest.approx(20)


def test_excused_jobs_change_neither_share_nor_budget() -> None:
    assert Counts(95, 5, {"pause": 1_000}).share == Counts(95, 5).share
    assert Counts().budget_left(0.95) == 1
    assert Counts().share is None


def test_steady_burn_ends_with_the_short_time() -> None:
    long = Counts(good=0, late=1_000)
    assert steady_burn(long, Counts(good=10, late=10), 0.95) == pytest.approx(10)
    assert steady_burn(long, Counts(good=10), 0.95) == 0
    assert steady_burn(long, Counts(), 0.95) == 0


@given(numbers, numbers, st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_burn_is_at_most_what_the_target_allows(good: int, late: int, target: float) -> None:
    assert 0 <= Counts(good, late).burn(target) <= 1 / (1 - target) + 1e-9
