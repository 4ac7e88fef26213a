"""Threads that compute: their context, their errors, their end."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections

from workloads.pipelines import thread_pool as crews
from workloads.pipelines.thread_pool import PipelineStep, PipelineStepResult, StepThreadPool, StoppedError

_state_in: ContextVar[str] = ContextVar("said", default="nothing")
PATIENCE_SECONDS = 30.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the wait for threads at the end to that of a busy machine."""
    monkeypatch.setattr(crews, "LEAVE_SECONDS", PATIENCE_SECONDS)


def step(compute: Any) -> PipelineStep:
    return PipelineStep(uuid4(), compute, 0.0)


def take(crew: StepThreadPool, count: int) -> list[PipelineStepResult]:
    """Return this many outcomes."""
    taken: list[PipelineStepResult] = []
    until = time.monotonic() + PATIENCE_SECONDS
    while len(taken) < count:
        assert time.monotonic() < until, f"{len(taken)} of {count}"
        taken += crew.take(timeout_seconds=0.1)
    return taken


def test_steps_run_concurrently_in_the_context_of_their_submitter() -> None:
    meeting = threading.Barrier(3, timeout=PATIENCE_SECONDS)

    def compute() -> tuple[str, str]:
        meeting.wait()
        heard = _state_in.get()
        _state_in.set("something of its own")
        return heard, threading.current_thread().name

    with StepThreadPool() as crew:
        for word in ("one", "two", "three"):
            _state_in.set(word)
            crew.give(step(compute))
        answers = [outcome.value for outcome in take(crew, 3)]
        assert crew.busy == 0
    assert sorted(word for word, _ in answers) == ["one", "three", "two"]
    assert len({thread for _, thread in answers}) == 3
    assert _state_in.get() == "three"


def test_idle_thread_is_reused() -> None:
    with StepThreadPool() as crew:
        names = []
        for _ in range(5):
            crew.give(step(lambda: threading.current_thread().name))
            names += [outcome.value for outcome in take(crew, 1)]
    assert len(set(names)) == 1


def test_any_exception_of_a_step_is_returned() -> None:
    def fail(error: BaseException) -> Any:
        raise error

    with StepThreadPool() as crew:
        for error in (ValueError("one"), SystemExit(1)):
            crew.give(step(lambda error=error: fail(error)))
        kinds = {type(outcome.error) for outcome in take(crew, 2)}
    assert kinds == {ValueError, SystemExit}


def test_running_steps_stop_at_safe_points_when_the_crew_ends() -> None:
    begun = threading.Event()

    def long(crew: StepThreadPool) -> None:
        begun.set()
        while True:
            crew.check_running()
            time.sleep(0.001)

    with StepThreadPool() as crew:
        crew.check_running()
        crew.give(step(lambda: long(crew)))
        assert begun.wait(PATIENCE_SECONDS)
    with pytest.raises(StoppedError):
        crew.check_running()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pipeline-")]


def test_each_thread_closes_its_own_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(connections, "close_all", lambda: closed.append(threading.current_thread().name))
    with StepThreadPool() as crew:
        crew.give(step(lambda: None))
        take(crew, 1)
        assert closed == []
    assert closed == ["pipeline-0"]


def test_hanging_step_does_not_block_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "LEAVE_SECONDS", 0.01)
    begun, release = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait(PATIENCE_SECONDS)

    with StepThreadPool() as crew:
        crew.give(step(hang))
        assert begun.wait(PATIENCE_SECONDS)
    hanging = [thread for thread in threading.enumerate() if thread.name.startswith("pipeline-")]
    assert [thread.daemon for thread in hanging] == [True]
    release.set()
    hanging[0].join(PATIENCE_SECONDS)
