"""The work of nodes that takes time: each is a task of the event loop on which the run's job runs.

Their dependencies are entered and left in the turns of the run, which have a database connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError

from scheduling.kit.base import Interrupted, JobContext, PermanentError, TransientError
from scheduling.kit.http import NoAnswerError
from tenants.exceptions import DomainError
from workloads.workflows.engine.state import NodeError
from workloads.workflows.engine.tasks import Task
from workloads.workflows.engine.variables import TemplateFailedError, VariableMissingError
from workloads.workflows.nodes.work import PostponedError, PreparedNode, Result

logger = logging.getLogger(__name__)

TIMED_OUT = "timed_out"
# Cause of an interruption by a breaker, or by a service that refuses every request.
_DOWN = "dependency"
# Tolerance between two clocks.
_EARLY_SECONDS = 0.01

type Ended = tuple[Task, Result | NodeError | Interrupted]


@dataclass(slots=True, eq=False)
class _AtWork:
    """A node at work, with the context of its dependency, which is left after the work."""

    task: Task
    work: PreparedNode
    dependency: ExitStack
    running: asyncio.Task[Result] | None = None

    async def do(self) -> Result:
        """Run the node's work within its time."""
        assert self.work.later is not None
        return await within(self.work.later, self.task.node.timeout_seconds, self.work.usual_seconds)


class NodeConcurrency:
    """The nodes of a run whose work is in progress."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._at_work: list[_AtWork] = []

    def __len__(self) -> int:
        return len(self._at_work)

    def begin(self, task: Task, work: PreparedNode) -> None:
        """Begin a node's work, or its fall-back if a breaker is open; `wait` starts it.

        Raise `Interrupted` if the breaker of the last dependency is open.
        """
        stack = ExitStack()
        try:
            if work.dependency is not None:
                stack.enter_context(self._context.dependency(work.dependency))
        except Interrupted as interruption:
            if work.fallback is None or interruption.cause != _DOWN:
                raise
            self._log_fallback(task, "its breaker is open")
            self.begin(task, work.fallback())
            return
        self._at_work.append(_AtWork(task, work, stack))

    async def wait(self, seconds: float | None, others: Iterable[asyncio.Task[None]]) -> None:
        """Wait up to ``seconds`` until some work or one of ``others`` has ended."""
        for one in self._at_work:
            one.running = one.running or asyncio.create_task(one.do())
        await asyncio.wait([*self._running(), *others], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def take_ended(self) -> list[Ended]:
        """Return the work that has ended, after reporting to its dependencies; begin the fall-backs of what failed."""
        ended = [(one, one.running) for one in self._at_work if one.running is not None and one.running.done()]
        for one, _ in ended:
            self._at_work.remove(one)
        answers = [(one, self._or_fallback(one, _answer_of(running, one.dependency))) for one, running in ended]
        return [(one.task, answer) for one, answer in answers if answer is not None]

    def drop(self, is_wanted: Callable[[Task], bool]) -> None:
        """Cancel the work of tasks for which ``is_wanted`` returns False."""
        for one in self._at_work:
            if one.running is not None and not one.running.cancelling() and not is_wanted(one.task):
                one.running.cancel()

    async def close(self) -> None:
        """Cancel all work and wait for its end; its results are dropped."""
        for running in self._running():
            running.cancel()
        await asyncio.gather(*self._running(), return_exceptions=True)

    def _or_fallback(
        self, one: _AtWork, answer: Result | NodeError | Interrupted
    ) -> Result | NodeError | Interrupted | None:
        """Return the answer, or None if the work's fall-back was begun instead."""
        match answer:
            case NodeError(is_transient=True):
                reason = answer.message
            case Interrupted(cause=cause) if cause == _DOWN:
                reason = "it refuses all requests"
            case _:
                return answer
        if one.work.fallback is None:
            return answer
        self._log_fallback(one.task, reason)
        try:
            self.begin(one.task, one.work.fallback())
        except Interrupted as interruption:
            return interruption
        except Exception as error:  # noqa: BLE001 - whatever a node's work raises is the node's error
            return failure_of(error)
        return None

    def _log_fallback(self, task: Task, reason: str) -> None:
        self._context.log(f"The next endpoint is used: {reason}", level="warning", node=str(task.key))

    def _running(self) -> list[asyncio.Task[Result]]:
        return [one.running for one in self._at_work if one.running is not None]


def failure_of(error: Exception) -> NodeError:
    """Return the error of a node for an exception that its work raised.

    If the database is unavailable, raise the exception instead: then the whole run has to be repeated.
    """
    match error:
        case OperationalError() if "statement timeout" in str(error):
            return NodeError("timed_out", "The database took too long.", is_transient=True)
        case OperationalError() | InterfaceError():
            raise error
        case TemplateFailedError():
            return NodeError("template_failed", str(error))
        case VariableMissingError():
            return NodeError("variable_missing", str(error))
        case PostponedError():
            return NodeError("postponed", str(error), retry_after_seconds=error.seconds, is_postponed=True)
        case PermanentError():
            return NodeError(error.code, str(error))
        case TransientError():
            return NodeError(error.code, str(error), is_transient=True, retry_after_seconds=error.retry_after_seconds)
        case DomainError():
            return NodeError(error.code, str(error), is_transient=error.category == "unavailable")
    logger.error("workflow.node_failed", exc_info=error)
    return NodeError("internal_error", f"The node failed: {type(error).__name__}.", is_transient=True)


async def within(work: Callable[[], Awaitable[Result]], seconds: float, usual_seconds: float | None) -> Result:
    """Run a node's work; raise TransientError after its timeout, marked if that is shorter than usual."""
    is_short = usual_seconds is not None and seconds < usual_seconds
    ends_at = time.monotonic() + seconds - _EARLY_SECONDS
    try:
        async with asyncio.timeout(seconds):
            return await work()
    except (TimeoutError, NoAnswerError) as error:
        # The work has the same limit, and may reach it first.
        has_run_out = isinstance(error, TimeoutError) or (error.code == TIMED_OUT and time.monotonic() >= ends_at)
        if not has_run_out:
            raise
        raise TransientError(f"It took longer than {seconds:g} s.", code=TIMED_OUT, is_own_timeout=is_short) from error


def _answer_of(running: asyncio.Task[Result], dependency: ExitStack) -> Result | NodeError | Interrupted:
    if running.cancelled():
        with suppress(Interrupted), dependency:
            # It has neither succeeded nor failed.
            raise Interrupted("dropped")
        return NodeError("cancelled", "It is no longer needed.")
    try:
        with dependency:
            return running.result()
    except Interrupted as interruption:
        # Its dependency refuses every request: the run waits.
        return interruption
    except Exception as error:  # noqa: BLE001 - whatever a node's work raises is the node's error
        return failure_of(error)
