"""Decisions of the parent about its children."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from uuid import UUID

import pytest

from scheduling.worker.busy_child import BusyChild
from scheduling.worker.child_exit import ExitCause, find_exit_cause, is_child_alive
from scheduling.worker.control_block import Cause

SECOND = 1_000_000_000
HELD = BusyChild(
    index=0,
    generation=1,
    pid=1,
    execution_id=UUID(int=1),
    fence=1,
    attempt=1,
    crash_count=0,
    max_retries=3,
    kind="sleep",
    began_ns=100 * SECOND,
    timeout_ns=10 * SECOND,
)


@pytest.mark.parametrize(
    ("now_seconds", "is_alive", "is_stopping", "asked_at", "finding"),
    [
        # It runs, and may.
        (105, True, False, {}, None),
        # Until its timeout, and beyond it.
        (110, True, False, {}, None),
        (111, True, False, {}, ExitCause.TIMED_OUT),
        # A dead child has crashed, even if it timed out too …
        (105, False, False, {}, ExitCause.CRASHED),
        (111, False, False, {}, ExitCause.CRASHED),
        # … but Celery itself ends children while the worker stops.
        (105, False, True, {}, ExitCause.SHUT_DOWN),
        (105, True, True, {}, None),
        # Interrupted: it has a grace period of 30 s.
        (105, True, False, {Cause.CANCEL: 104}, None),
        (105, True, False, {Cause.CANCEL: 74}, ExitCause.CANCELLED),
        (105, True, False, {Cause.DEADLINE: 74}, ExitCause.EXPIRED),
        (105, True, False, {Cause.FENCE_LOST: 74}, ExitCause.SUPERSEDED),
        # The request that was ignored longest decides.
        (105, True, False, {Cause.CANCEL: 104, Cause.DEADLINE: 74}, ExitCause.EXPIRED),
    ],
)
def test_find_names_why_an_execution_must_end(
    now_seconds: int, is_alive: bool, is_stopping: bool, asked_at: dict[Cause, int], finding: ExitCause | None
) -> None:
    found = find_exit_cause(
        HELD,
        now_ns=now_seconds * SECOND,
        is_alive=is_alive,
        is_stopping=is_stopping,
        asked_at_ns={cause: at * SECOND for cause, at in asked_at.items()},
    )
    assert found is finding


def test_running_child_is_alive_and_zombie_is_not() -> None:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    assert is_child_alive(child)
    os.kill(child, signal.SIGKILL)
    # It has ended, and is not reaped yet: its pid still exists.
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    os.kill(child, 0)
    assert not is_child_alive(child)
    os.waitpid(child, 0)
    assert not is_child_alive(child)


def test_process_of_another_parent_is_not_a_child() -> None:
    assert not is_child_alive(os.getppid())


@pytest.mark.parametrize(
    ("limit_kib", "resident_kib", "finding"),
    [
        (0, 10**9, None),  # no limit
        (1_000, None, None),  # unknown memory
        (1_000, 1_000, None),
        (1_000, 1_001, ExitCause.OVER_MEMORY),
    ],
)
def test_child_above_its_memory_limit_is_ended(
    limit_kib: int, resident_kib: int | None, finding: ExitCause | None
) -> None:
    held = replace(HELD, memory_limit_kib=limit_kib)
    found = find_exit_cause(
        held, now_ns=101 * SECOND, is_alive=True, is_stopping=False, asked_at_ns={}, resident_kib=resident_kib
    )
    assert found is finding
