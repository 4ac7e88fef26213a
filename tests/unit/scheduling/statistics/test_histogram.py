"""Durations in buckets, and their percentiles."""

from __future__ import annotations

import random
from bisect import bisect_right

import pytest

from scheduling.statistics import rollups
from scheduling.statistics.histogram import BOUNDS, BUCKETS, percentile
from tenants.database.sql import load_sql


def counted(*seconds: float) -> list[int]:
    counts = [0] * BUCKETS
    for value in seconds:
        counts[bisect_right(BOUNDS, value)] += 1
    return counts


def test_empty_histogram_has_no_percentile() -> None:
    assert percentile([0] * BUCKETS, 0.5) is None


@pytest.mark.parametrize(
    ("seconds", "part", "low", "high"),
    [
        ([0.3], 0.5, 0.25, 0.5),
        ([0.3] * 99 + [7.0], 0.5, 0.25, 0.5),
        ([0.3] * 90 + [7.0] * 10, 0.95, 5.0, 10.0),
        ([0.0], 0.99, 0.0, 0.01),
        ([10 * 86_400.0], 0.5, 86_400.0, 86_400.0),  # the last bucket has no end
    ],
)
def test_percentile_lies_in_the_bucket_of_the_value(seconds: list[float], part: float, low: float, high: float) -> None:
    value = percentile(counted(*seconds), part)
    assert value is not None
    assert low <= value <= high


def test_percentiles_increase_with_their_fraction() -> None:
    chance = random.Random(7)
    counts = counted(*(chance.expovariate(0.1) for _ in range(500)))
    values = [percentile(counts, part / 20) for part in range(1, 21)]
    assert values == sorted(values, key=lambda value: value or 0.0)


@pytest.mark.parametrize("column", ["wait", "run"])
def test_rollups_count_each_bucket(column: str) -> None:
    counts = [f"count(*) FILTER (WHERE {column}_bucket = {number})" for number in range(BUCKETS)]
    text = load_sql(rollups.__file__)[f"{column}_histogram"]
    assert " ".join(text.split()) == f"ARRAY[{', '.join(counts)}]::int[]"
