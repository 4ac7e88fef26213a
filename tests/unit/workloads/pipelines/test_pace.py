"""How the number of entities at once follows memory and endpoints."""

from __future__ import annotations

from scheduling.kit.base import PermanentError, TransientError
from workloads.pipelines.pace import Pace
from workloads.pipelines.performance import is_push_back


def test_it_begins_with_as_many_as_are_allowed() -> None:
    assert Pace(10).width == 10


def test_a_push_back_halves_it_once_for_all_that_was_under_way() -> None:
    pace = Pace(10)
    for _ in range(10):
        pace.push_back(begun_at=1.0, now=2.0)
    assert pace.width == 5
    pace.push_back(begun_at=2.5, now=3.0)
    assert pace.width == 2
    for now in (4.0, 5.0, 6.0):
        pace.push_back(begun_at=now, now=now)
    assert pace.width == 1


def test_successes_grow_it_back_one_by_one_and_no_further() -> None:
    pace = Pace(4)
    pace.push_back(begun_at=0.0, now=1.0)
    widths = []
    for _ in range(20):
        pace.succeed()
        widths.append(pace.width)
    # Two successes at a width of two, three at three.
    assert widths[:6] == [2, 3, 3, 3, 4, 4]
    assert widths[-1] == 4


def test_memory_that_is_short_takes_one_at_a_time_and_leaves_one() -> None:
    pace = Pace(3)
    pace.fit(used_mib=100, allowed_mib=512)
    assert pace.width == 3
    widths = []
    for _ in range(4):
        pace.fit(used_mib=500, allowed_mib=512)
        widths.append(pace.width)
    assert widths == [2, 1, 1, 1]


def test_what_counts_as_a_push_back() -> None:
    assert is_push_back(TransientError("busy", code="http_503", retry_after_seconds=1.0))
    assert is_push_back(TransientError("too many", code="http_429"))
    assert is_push_back(TransientError("too many", code="embedding_unavailable"))
    assert not is_push_back(TransientError("broken", code="http_500"))
    assert not is_push_back(PermanentError("no", code="http_429"))
    assert not is_push_back(ValueError("no"))
