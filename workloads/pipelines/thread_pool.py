"""Threads that compute the steps of a run. A step runs in a copy of the caller's context variables.

Each thread has its own database connection and commits nothing. The result or error of a step is returned to the
calling thread, which alone holds the job's fencing token.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from django.db import connections

# How long the end of a run waits for threads that are within a call. The result of a later one is dropped.
LEAVE_SECONDS = 5.0


class StoppedError(Exception):
    """Raised in a step if its run stops. The step is repeated when the run resumes."""


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """A step that a thread computes for an entity, and the time at which it was given to the thread."""

    entity_id: UUID
    compute: Callable[[], Any]
    begun_at: float


@dataclass(frozen=True, slots=True)
class PipelineStepResult:
    """The result of a step: a value or an error."""

    step: PipelineStep
    value: Any = None
    error: BaseException | None = None


class StepThreadPool:
    """A pool that starts a thread whenever a step is queued while all its threads are busy."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[tuple[Context, PipelineStep] | None] = SimpleQueue()
        self._outcomes: SimpleQueue[PipelineStepResult] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_stopped = threading.Event()
        self.busy = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_stopped.set()
        for _ in self._threads:
            self._tasks.put(None)
        ends_at = time.monotonic() + LEAVE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def check_running(self) -> None:
        """Raise `StoppedError` if the run stops. Steps call it several times a second."""
        if self._is_stopped.is_set():
            raise StoppedError

    def give(self, step: PipelineStep) -> None:
        """Queue a step; start a new thread if all are busy."""
        self.busy += 1
        if self.busy > len(self._threads):
            name = f"pipeline-{len(self._threads)}"
            # A daemon, so that a hanging call does not keep the process alive.
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._tasks.put((copy_context(), step))

    def take(self, *, timeout_seconds: float) -> list[PipelineStepResult]:
        """Return the results that are available; wait up to the timeout for the first one."""
        taken: list[PipelineStepResult] = []
        with suppress(Empty):
            taken.append(self._outcomes.get(timeout=timeout_seconds))
            while True:
                taken.append(self._outcomes.get_nowait())
        self.busy -= len(taken)
        return taken

    def _work(self) -> None:
        try:
            while (task := self._tasks.get()) is not None:
                context, step = task
                if self._is_stopped.is_set():
                    return
                self._outcomes.put(context.run(_outcome_of, step))
        finally:
            # These are the thread's own connections; nothing else closes them.
            connections.close_all()


def _outcome_of(step: PipelineStep) -> PipelineStepResult:
    try:
        return PipelineStepResult(step, value=step.compute())
    except BaseException as error:  # noqa: BLE001 - handed over to the giver, who decides about it
        return PipelineStepResult(step, error=error)
