"""Number of concurrent entities, by memory and endpoints."""

from __future__ import annotations

from scheduling.kit.base import PermanentError, TransientError
from workloads.pipelines.adaptive_concurrency import AdaptiveConcurrency
from workloads.pipelines.run_execution import is_throttled


def test_pace_begins_at_the_allowed_width() -> None:
    assert AdaptiveConcurrency(10).width == 10


def test_push_back_halves_the_width_once_for_concurrent_entities() -> None:
    pace = AdaptiveConcurrency(10)
    for _ in range(10):
        pace.push_back(begun_at=1.0, now=2.0)
    assert pace.width == 5
    pace.push_back(begun_at=2.5, now=3.0)
    assert pace.width == 2
    for now in (4.0, 5.0, 6.0):
        pace.push_back(begun_at=now, now=now)
    assert pace.width == 1


def test_successes_restore_the_width_step_by_step() -> None:
    pace = AdaptiveConcurrency(4)
    pace.push_back(begun_at=0.0, now=1.0)
    widths = []
    for _ in range(20):
        pace.succeed()
        widths.append(pace.width)
    # Two successes at a width of two, three at three.
    assert widths[:6] == [2, 3, 3, 3, 4, 4]
    assert widths[-1] == 4


def test_memory_shortage_reduces_the_width_by_one_down_to_one() -> None:
    pace = AdaptiveConcurrency(3)
    pace.fit(used_mib=100, allowed_mib=512)
    assert pace.width == 3
    widths = []
    for _ in range(4):
        pace.fit(used_mib=500, allowed_mib=512)
        widths.append(pace.width)
    assert widths == [2, 1, 1, 1]


def test_push_back_is_a_transient_error_of_overload() -> None:
    assert is_throttled(TransientError("busy", code="http_503", retry_after_seconds=1.0))
    assert is_throttled(TransientError("too many", code="http_429"))
    assert is_throttled(TransientError("too many", code="embedding_unavailable"))
    assert not is_throttled(TransientError("broken", code="http_500"))
    assert not is_throttled(PermanentError("no", code="http_429"))
    assert not is_throttled(ValueError("no"))
