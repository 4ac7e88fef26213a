"""Drawing of a job: attempts on one axis, states with durations, a traceback with open frames of the project."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from scheduling.jobs.charts import (
    AXIS_UNITS,
    LEAST_WIDTH,
    AxisSpan,
    StateSpan,
    draw_attempts,
    fold_traceback,
    folded_words,
    trace_states,
)
from scheduling.jobs.history import ExecutionRecord

BEGAN = datetime(2026, 5, 4, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def attempt(dispatched: float, started: float | None, ended: float | None, **values: Any) -> ExecutionRecord:
    return ExecutionRecord(
        **{
            "id": uuid4(),
            "job_id": uuid4(),
            "number": 1,
            "kind": "noop",
            "state": "failed",
            "worker_id": None,
            "dispatched_at": at(dispatched),
            "started_at": None if started is None else at(started),
            "ended_at": None if ended is None else at(ended),
            "seconds": None,
            "predicted_seconds": 1.0,
            "error_type": "",
            "error_message": "",
            "traceback": "",
        }
        | values
    )


def draw(*attempts: ExecutionRecord, ends: float = 100, next_at: float | None = None, **workers: str) -> Any:
    following = None if next_at is None else at(next_at)
    return draw_attempts(attempts, {}, begins=BEGAN, ends=at(ends), now=at(ends), next_at=following)


def test_attempt_has_bars_for_wait_run_and_backoff() -> None:
    newer, older = draw(attempt(60, 70, 100), attempt(10, 20, 40))
    assert (older.wait, older.run, older.pause) == (AxisSpan(1000, 1000), AxisSpan(2000, 2000), AxisSpan(4000, 2000))
    assert (newer.wait, newer.run, newer.pause) == (AxisSpan(6000, 1000), AxisSpan(7000, 3000), None)
    assert "next attempt after" in older.words


def test_queue_wait_is_drawn_before_the_first_attempt_only() -> None:
    second, first = draw(attempt(60, 70, 100, number=2), attempt(10, 20, 40))
    assert (first.queued, second.queued) == (AxisSpan(0, 1000), None)
    assert "queued 10 s" in first.words
    assert "queued" not in second.words
    assert draw(attempt(0, 1, 2))[0].queued is None


def test_pending_backoff_is_drawn_to_the_end_of_the_axis() -> None:
    [row] = draw(attempt(0, 0, 50), next_at=500)
    assert (row.wait, row.pause) == (None, AxisSpan(5000, 5000))


def test_running_attempt_ends_now_and_unstarted_one_has_no_run() -> None:
    running, handed_out = draw(attempt(50, 60, None), attempt(0, None, 30))
    assert running.run == AxisSpan(6000, 4000)
    assert (handed_out.wait, handed_out.run) == (AxisSpan(0, 3000), None)
    assert "dispatched" in handed_out.words


@pytest.mark.parametrize("moment", [0.0, 99.9999])
def test_shortest_run_is_visible_within_the_axis(moment: float) -> None:
    [row] = draw(attempt(moment, moment, moment + 0.0001))
    assert row.run.width == LEAST_WIDTH
    assert 0 <= row.run.left <= AXIS_UNITS - row.run.width


def test_wrong_clock_draws_nothing_outside_the_axis() -> None:
    [row] = draw(attempt(-5, 200, 190))
    assert (row.wait, row.run) == (AxisSpan(0, AXIS_UNITS), None)


def test_states_have_their_durations() -> None:
    changes = [(at(0), "available"), (at(3), "dispatched"), (at(4), "executing"), (at(6), "executing")]
    assert trace_states(changes, now=at(10), is_over=False) == [
        StateSpan("available", 3.0, is_open=False),
        StateSpan("dispatched", 1.0, is_open=False),
        StateSpan("executing", 6.0, is_open=True),
    ]


def test_terminal_state_has_no_duration() -> None:
    changes = [(at(0), "available"), (at(3), "cancelled")]
    assert trace_states(changes, now=at(10), is_over=True)[-1] == StateSpan("cancelled", 0.0, is_open=False)
    assert trace_states([], now=at(10), is_over=True) == []


TRACEBACK = """Traceback (most recent call last):
  File "/app/scheduling/worker/performing.py", line 90, in perform
    outcome = processor.process(context)
  File "/usr/lib/python3.13/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
           ~~~~~~~~~~~~~~~~~~~~~~~^^^
  File "/app/.venv/lib/python3.13/site-packages/psycopg/cursor.py", line 117, in execute
    raise ex.with_traceback(None)
  File "<frozen importlib._bootstrap>", line 1, in _find
ValueError: page 7 is torn"""


def test_library_frames_are_folded_and_own_frames_are_not() -> None:
    parts = fold_traceback(TRACEBACK)
    assert [(part.is_ours, part.count) for part in parts] == [(True, 2), (False, 3), (True, 1)]
    assert "\n".join(part.text for part in parts) == TRACEBACK
    assert parts[2].text == "ValueError: page 7 is torn"
    assert folded_words(parts[1]) == "3 frames of libraries"


def test_text_without_frames_is_unchanged() -> None:
    assert [part.text for part in fold_traceback("one\ntwo")] == ["one\ntwo"]
    assert fold_traceback("") == []
