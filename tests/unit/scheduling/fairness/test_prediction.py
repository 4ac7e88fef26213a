"""The predictor of costs: learning, forgetting, and robustness against outliers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.prediction import (
    LEAST_REMAINDER,
    MEMORY,
    OUTLIER,
    CostSums,
    Sample,
    cut_outlier,
    fold,
    predict,
)

SECOND = 1_000_000
samples = st.builds(Sample, size=st.integers(0, 262_144), cost_us=st.integers(0, 3_600 * SECOND))


def learn(*costs: tuple[int, int]) -> CostSums:
    sums = None
    for size, cost_us in costs:
        sums = fold(sums, [Sample(size, cost_us)])
    assert sums is not None
    return sums


def guess(sums: CostSums | None, size: int = 100, **options: int) -> int:
    return predict(sums, **{"expected_us": SECOND, "size": size, **options})


def test_unknown_kind_has_the_expected_cost_of_its_queue() -> None:
    assert predict(None, None, expected_us=30 * SECOND, size=100) == 30 * SECOND


def test_samples_of_the_tenant_precede_samples_of_the_kind() -> None:
    own, kind = learn((100, 5_000)), learn((100, 9_000))
    assert predict(own, kind, expected_us=SECOND, size=100) == 5_000
    assert predict(None, kind, expected_us=SECOND, size=100) == 9_000


def test_cost_that_grows_with_size_is_predicted_by_size() -> None:
    sums = learn(*((size, 1_000 + 20 * size) for size in range(100, 2_100, 100)))
    assert guess(sums, 500) == pytest.approx(11_000, rel=0.001)
    assert guess(sums, 1_500) == pytest.approx(31_000, rel=0.001)


def test_size_without_correlation_is_ignored() -> None:
    chance = random.Random(1)
    sums = learn(*((chance.randrange(100_000), chance.choice([1_000, 3_000])) for _ in range(200)))
    assert guess(sums, 0) == guess(sums, 100_000) == round(sums.mean_us)


def test_few_samples_are_averaged_without_regression() -> None:
    sums = learn((10, 1_000), (1_000, 100_000))
    assert guess(sums, 10) == guess(sums, 1_000) == 50_500


def test_prediction_for_a_new_size_is_within_the_observed_costs() -> None:
    sums = learn(*((size, 10 * size) for size in range(100, 1_100, 100)))
    assert guess(sums, 250_000) == 10_000
    assert 1_000 <= guess(sums, 0) <= 1_500


def test_prediction_follows_a_change_within_the_memory() -> None:
    sums = learn(*((100, 1_000) for _ in range(1_000)), *((100, 9_000) for _ in range(3 * int(MEMORY))))
    assert guess(sums) > 8_500


def learn_with_errors(sums: CostSums | None, *costs: int) -> CostSums:
    """Learn jobs one by one, with the errors of their predictions."""
    for cost_us in costs:
        predicted_us = guess(sums)
        sums = fold(sums, [Sample(100, cost_us, predicted_us - cost_us)])
    assert sums is not None
    return sums


def test_prediction_follows_a_change_within_a_score_of_jobs_if_all_errors_lie_on_one_side() -> None:
    chance = random.Random(1)
    before = learn_with_errors(None, *(chance.randrange(6_000, 8_000) for _ in range(200)))
    assert guess(before) == pytest.approx(7_000, rel=0.05)
    after = learn_with_errors(before, *(chance.randrange(14_000, 16_000) for _ in range(20)))
    assert guess(after) > 12_000
    # The memory is long again, so that chance is averaged.
    settled = learn_with_errors(after, *(chance.randrange(14_000, 16_000) for _ in range(200)))
    assert settled.n > 40
    assert abs(settled.bias_us) < 0.5 * settled.error_us


def test_errors_on_both_sides_do_not_shorten_the_memory() -> None:
    chance = random.Random(2)
    sums = learn_with_errors(None, *(round(chance.lognormvariate(8, 1)) for _ in range(300)))
    assert sums.n > 40


def test_outlier_has_little_effect_and_is_forgotten() -> None:
    sums = learn(*((100, 1_000) for _ in range(100)))
    outlier = cut_outlier(3_600 * SECOND, guess(sums), known_samples=100)
    assert outlier == OUTLIER * 1_000
    sums = fold(sums, [Sample(100, outlier)])
    assert guess(sums) < 1_150
    for _ in range(4 * int(MEMORY)):
        sums = fold(sums, [Sample(100, 1_000)])
    assert guess(sums) < 1_005
    assert sums.most_us < 1_500


def test_outlier_of_a_new_kind_is_not_clipped() -> None:
    assert cut_outlier(60 * SECOND, SECOND, known_samples=0) == 60 * SECOND


def test_resumed_job_costs_the_remainder_and_at_least_a_minimum() -> None:
    sums = learn((100, 10 * SECOND))
    assert guess(sums, used_us=4 * SECOND) == 6 * SECOND
    assert guess(sums, used_us=60 * SECOND) == LEAST_REMAINDER * 10 * SECOND


def test_fold_is_independent_of_the_order_of_samples() -> None:
    many = [Sample(size, size * 7 % 1_000) for size in range(40)]
    assert fold(None, many) == fold(None, many[::-1])


@given(st.lists(samples, min_size=1, max_size=120), st.integers(0, 262_144), st.integers(0, 7_200 * SECOND))
def test_prediction_is_positive_and_within_the_observed_costs(costs: list[Sample], size: int, used_us: int) -> None:
    sums = None
    for sample in costs:
        sums = fold(sums, [sample])
    predicted = predict(sums, expected_us=SECOND, size=size, used_us=used_us)
    assert 1 <= predicted <= max(1, *(sample.cost_us for sample in costs)) + 1


@given(st.lists(samples, min_size=1, max_size=300))
def test_weight_of_past_samples_is_limited_by_the_memory(costs: list[Sample]) -> None:
    sums = None
    for sample in costs:
        sums = fold(sums, [sample])
    assert sums is not None
    assert sums.n <= MEMORY + 1
