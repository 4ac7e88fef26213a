"""Number of workers that a pool needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.fleet.autoscaling import ScaleDownDelay, ScaleRule

RULE = ScaleRule(least=1, most=8, slots=2, target_seconds=30, patience_seconds=60)


@pytest.mark.parametrize(
    ("ready_seconds", "in_flight", "workers"),
    [(0, 0, 1), (59, 0, 1), (61, 0, 2), (0, 3, 2), (61, 16, 8), (1e9, 0, 8), (0, 1_000, 8)],
)
def test_wanted_workers_cover_ready_work_and_running_jobs(ready_seconds: float, in_flight: int, workers: int) -> None:
    assert RULE.wanted(ready_seconds=ready_seconds, in_flight=in_flight) == workers


def test_least_work_requires_a_worker_at_zero_scale() -> None:
    rule = ScaleRule(least=0, most=3, slots=4, target_seconds=30, patience_seconds=0)
    assert rule.wanted(ready_seconds=0, in_flight=0) == 0
    assert rule.wanted(ready_seconds=0.001, in_flight=0) == 1


@pytest.mark.parametrize(
    "bounds",
    [
        {"least": 3, "most": 2},
        {"least": -1},
        {"least": 0, "most": 0},
        {"slots": 0},
        {"target_seconds": 0},
        {"patience_seconds": -1},
    ],
)
def test_contradictory_bounds_are_refused(bounds: dict[str, float]) -> None:
    usual: dict[str, float] = {"least": 1, "most": 8, "slots": 2, "target_seconds": 30, "patience_seconds": 60}
    with pytest.raises(ValueError, match=r"workers|above 0"):
        ScaleRule(**(usual | bounds))  # type: ignore[arg-type]


def test_scale_out_is_immediate_and_scale_in_waits_for_the_patience() -> None:
    patience = ScaleDownDelay(60)
    assert patience.settle(3, now=0) == 3
    assert patience.settle(5, now=10) == 5
    assert patience.settle(2, now=20) == 5
    assert patience.settle(2, now=70) == 5
    assert patience.settle(1, now=71) == 2
    assert patience.settle(1, now=140) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 50)), min_size=1, max_size=40), st.floats(0, 100))
def test_settled_number_is_the_maximum_of_the_window(steps: list[tuple[int, float]], seconds: float) -> None:
    patience, now, seen = ScaleDownDelay(seconds), 0.0, []
    for wanted, step in steps:
        now += step
        seen.append((wanted, now))
        assert patience.settle(wanted, now=now) == max(number for number, at in seen if now - at <= seconds)
