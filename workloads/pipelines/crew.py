"""Threads that compute for a run: each step in a copy of the giver's context, each thread with a connection of its own.

They commit nothing. What a step returns, or raises, is handed over to whoever gave it, who alone stands under the
job's fence.
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

# How long the end of a run waits for threads that are within a call. What is still there then computes for nobody.
LEAVE_SECONDS = 5.0


class StoppedError(Exception):
    """The run is over for now; the step is given again when it goes on."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a thread is to compute for an entity, and since when."""

    entity_id: UUID
    name: str
    compute: Callable[[], Any]
    begun_at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step: a value or an error."""

    step: Step
    value: Any = None
    error: BaseException | None = None


class Crew:
    """As many threads as there are steps under way at once."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[tuple[Context, Step] | None] = SimpleQueue()
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
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
        """For steps, several times a second: raises StoppedError once the run is over for now."""
        if self._is_stopped.is_set():
            raise StoppedError

    def give(self, step: Step) -> None:
        """Have a step computed; by a new thread where all are busy."""
        self.busy += 1
        if self.busy > len(self._threads):
            name = f"pipeline-{len(self._threads)}"
            # A daemon, so that a call that hangs does not keep the process.
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._tasks.put((copy_context(), step))

    def take(self, *, timeout_seconds: float) -> list[Outcome]:
        """The outcomes that are there, waiting for the first no longer than that."""
        taken: list[Outcome] = []
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
            # This thread's own; nobody else would.
            connections.close_all()


def _outcome_of(step: Step) -> Outcome:
    try:
        return Outcome(step, value=step.compute())
    except BaseException as error:  # noqa: BLE001 - handed over to the giver, who decides about it
        return Outcome(step, error=error)
