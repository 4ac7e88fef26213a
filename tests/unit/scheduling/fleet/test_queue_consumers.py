"""Intervals of the sum of waiting work: each turn while it is cheap, and less often the longer it takes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from scheduling.fleet import queue_consumers
from scheduling.fleet.queue_consumers import QueueMeasurer


@pytest.mark.parametrize(
    ("seconds", "sums"),
    [
        (0.01, [True, True, True, True, True, True]),
        # Three seconds of pause after each sum.
        (0.3, [True, False, False, False, True, False]),
    ],
)
def test_sum_is_repeated_after_ten_times_its_duration(
    seconds: float, sums: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    found: list[bool] = []

    def measure(*, sums_work: bool) -> None:
        nonlocal now
        found.append(sums_work)
        now += seconds if sums_work else 0.0

    monkeypatch.setattr(queue_consumers, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(queue_consumers, "measure_queues", measure)
    measurer = QueueMeasurer()
    for turn in range(6):
        now = max(now, float(turn))
        measurer.take_turn()
    assert found == sums
