"""A leak is distinguished from a warm-up, a spike and a restart."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.chaos.soak.growth import Point, growth_of
from tests.chaos.soak.limits import judge

MINUTES = 10
LOOK_SECONDS = 5


def series(value: Callable[[float], float], *, restarts: int = 0) -> list[Point]:
    """Return samples of one process after another, each of which begins with ``value(0)``."""
    seconds = MINUTES * 60
    life_seconds = seconds / (restarts + 1)
    points = []
    for at in range(0, seconds, LOOK_SECONDS):
        life, age = divmod(at, life_seconds)
        points.append(Point(at, value(age), str(life), age))
    return points


def slope(points: list[Point]) -> float:
    growth = growth_of(points, since=MINUTES * 30)
    assert growth is not None
    assert growth.per_minute is not None
    return growth.per_minute


def test_constant_series_has_no_slope() -> None:
    chance = random.Random(1)
    assert abs(slope(series(lambda age: 100 + chance.uniform(-5, 5)))) < 0.5


@pytest.mark.parametrize("restarts", [0, 2])
def test_leak_is_found_in_spite_of_noise_and_restarts(restarts: int) -> None:
    chance = random.Random(2)
    assert slope(series(lambda age: 100 + age / 60 + chance.uniform(-0.3, 0.3), restarts=restarts)) > 0.8


def test_warm_up_is_not_a_leak() -> None:
    assert slope(series(lambda age: 100 + min(age, 50), restarts=2)) == 0


def test_spike_is_not_a_leak() -> None:
    assert slope(series(lambda age: 500 if 400 < age < 430 else 100)) == 0


def test_growth_of_a_short_series_is_unknown() -> None:
    growth = growth_of([Point(400, 1), Point(405, 9)], since=MINUTES * 30)
    assert growth is not None
    assert growth.per_minute is None
    assert growth.is_within(0.0)
    assert growth_of([Point(5, 1)], since=MINUTES * 30) is None


def test_growing_process_is_named() -> None:
    measured = {"memory": {"web": series(lambda age: age / 10), "beat": series(lambda age: 70.0)}}
    lines = list(judge(measured, since=MINUTES * 30))
    assert [(line.name, line.is_met) for line in lines] == [("beat", True), ("web", False)]
    assert "**grows**" in lines[1].cells()
