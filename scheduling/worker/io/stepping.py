"""The steps of the tasks on an event loop: each is named in shared memory while it runs, and a long one is reported.

A step is what a coroutine does between two of its awaits; meanwhile the loop runs nothing else. Because the name is
written before the step, the worker's parent can read it even if the step never ends or the process has died.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from types import TracebackType
from typing import Any, Protocol

from scheduling.worker.io.state import ProcessState

BLOCK_SECONDS = 0.2
BLOCK_NS = int(BLOCK_SECONDS * 1e9)


class Occupant(Protocol):
    """The execution in a seat: the tasks of its processor, and theirs, are its own until that ``is_over``."""

    index: int
    is_over: bool
    tasks: set[asyncio.Task[Any]]

    def note_block(self, seconds: float) -> None:
        """Report that a step of this execution blocked the loop."""


class ProcessExitError(Exception):
    """The error of a coroutine that tried to end the process, in which other executions run."""


occupant: ContextVar[Occupant | None] = ContextVar("io_occupant", default=None)


class Stepped(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are named; for everything else it is the coroutine itself."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], owner: Occupant, state: ProcessState) -> None:
        self._coroutine = coroutine
        self._owner = owner
        self._state = state

    def send(self, value: Any) -> Any:
        """Run the next step."""
        return self._step(self._coroutine.send, value)

    def throw(self, error: Any, value: object = None, trace: TracebackType | None = None) -> Any:
        """Run the next step with an error."""
        return self._step(self._coroutine.throw, error)

    def close(self) -> None:
        """Close the coroutine."""
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:
        # Libraries read `cr_running` and others.
        return getattr(self._coroutine, name)

    def _step(self, step: Callable[[Any], Any], value: Any) -> Any:
        state = self._state
        began_ns = time.monotonic_ns()
        state.running_since_ns = began_ns
        state.running_seat = self._owner.index + 1
        try:
            return step(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise ProcessExitError(f"A coroutine raised {type(error).__name__}: {error}") from error
        finally:
            state.running_seat = 0
            took_ns = time.monotonic_ns() - began_ns
            if took_ns >= BLOCK_NS:
                state.blocks += 1
                state.longest_block_ns = max(state.longest_block_ns, took_ns)
                self._owner.note_block(took_ns / 1e9)


def task_factory(state: ProcessState) -> Callable[..., asyncio.Task[Any]]:
    """Return a task factory that steps the tasks of executions, and adds each to its execution's tasks.

    It refuses a task of an execution that is over, such as a late callback would create, with a RuntimeError.
    """

    def create(
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        owner = occupant.get() if context is None else context.get(occupant)
        if owner is None:
            return asyncio.Task(coroutine, loop=loop, context=context, **options)
        if owner.is_over:
            # The seat may be another execution's by now.
            coroutine.close()
            raise RuntimeError("A job that has ended cannot start a task.")
        task = asyncio.Task(Stepped(coroutine, owner, state), loop=loop, context=context, **options)
        owner.tasks.add(task)
        task.add_done_callback(owner.tasks.discard)
        return task

    return create
