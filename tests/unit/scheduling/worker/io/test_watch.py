"""When the parent ends a process of coroutines, and which of its jobs it blames."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduling.worker.child_exit import ExitCause
from scheduling.worker.io.watch import Finding, ProcessFacts, find

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
LIMIT_KIB = 1_000
IDLE = ProcessFacts(now_ns=NOW, ticked_ns=NOW - SECOND // 10)
RUNS = replace(IDLE, running=3, running_since_ns=NOW - SECOND)
IN_LANE = replace(IDLE, in_lanes=[5])
IN_LANES = replace(IDLE, in_lanes=[5, 6])
STALE = NOW - 31 * SECOND


def found(facts: ProcessFacts, *, is_stopping: bool = False) -> Finding | None:
    return find(facts, is_stopping=is_stopping, limit_kib=LIMIT_KIB, stall_seconds=30.0)


@pytest.mark.parametrize(
    "facts",
    [
        IDLE,
        RUNS,
        IN_LANE,
        replace(RUNS, running_since_ns=NOW - 9 * SECOND, ticked_ns=NOW - 9 * SECOND),
        replace(RUNS, ends_at_ns=NOW + SECOND),
        replace(RUNS, ends_at_ns=NOW - SECOND // 2),
        replace(IDLE, ends_at_ns=NOW - 5 * SECOND),
        replace(IDLE, resident_kib=LIMIT_KIB),
    ],
)
def test_process_that_works_continues(facts: ProcessFacts) -> None:
    assert found(facts) is None


@pytest.mark.parametrize(
    ("facts", "cause", "culprit"),
    [
        (replace(RUNS, is_alive=False), ExitCause.CRASHED, 3),
        (replace(RUNS, is_alive=False, in_lanes=[5]), ExitCause.CRASHED, 3),
        (replace(IN_LANE, is_alive=False), ExitCause.CRASHED, 5),
        (replace(IN_LANES, is_alive=False), ExitCause.CRASHED, None),
        (replace(IDLE, is_alive=False), ExitCause.CRASHED, None),
        (replace(RUNS, running_since_ns=NOW - 11 * SECOND), ExitCause.BLOCKED, 3),
        (replace(RUNS, ends_at_ns=NOW - 2 * SECOND), ExitCause.TIMED_OUT, 3),
        (replace(IDLE, ticked_ns=STALE), ExitCause.STALLED, None),
        (replace(IN_LANE, ticked_ns=STALE), ExitCause.STALLED, 5),
        (replace(RUNS, abandoned=Finding(ExitCause.CANCELLED, 4)), ExitCause.CANCELLED, 4),
        (replace(RUNS, abandoned=Finding(ExitCause.CANCELLED, 4), is_alive=False), ExitCause.CRASHED, 3),
        (replace(RUNS, resident_kib=LIMIT_KIB + 1), ExitCause.PROCESS_OVER_MEMORY, 3),
        (replace(IN_LANE, resident_kib=LIMIT_KIB + 1), ExitCause.PROCESS_OVER_MEMORY, None),
    ],
)
def test_process_that_must_end_names_its_culprit(facts: ProcessFacts, cause: ExitCause, culprit: int | None) -> None:
    assert found(facts) == Finding(cause, culprit)


def test_death_of_a_process_of_a_stopping_worker_blames_no_job() -> None:
    assert found(replace(RUNS, is_alive=False), is_stopping=True) == Finding(ExitCause.SHUT_DOWN)


@pytest.mark.parametrize("cause", [ExitCause.CRASHED, ExitCause.BLOCKED, ExitCause.STALLED])
def test_jobs_beside_the_culprit_are_returned(cause: ExitCause) -> None:
    assert [Finding(cause, 3).cause_for(seat) for seat in (3, 4)] == [cause, ExitCause.RETURNED]
    assert Finding(cause).cause_for(3) == ExitCause.RETURNED


def test_jobs_of_a_worker_that_stops_are_all_shut_down() -> None:
    assert {Finding(ExitCause.SHUT_DOWN).cause_for(seat) for seat in (3, 4)} == {ExitCause.SHUT_DOWN}
