"""The work of nodes that takes time: on the event loop of the process, or in a thread of the run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError

from scheduling.kit.base import Interrupted, JobContext, PermanentError, TransientError
from scheduling.kit.http import NoAnswerError
from tenants.exceptions import DomainError
from workloads.model_endpoints import event_loop
from workloads.workflows.engine.state import NodeError
from workloads.workflows.engine.tasks import Task
from workloads.workflows.engine.variables import TemplateFailedError, VariableMissingError
from workloads.workflows.nodes.work import PreparedNode, Result

logger = logging.getLogger(__name__)

TIMED_OUT = "timed_out"
# Tolerance between two clocks.
_EARLY_SECONDS = 0.01

type Ended = tuple[Task, Result | NodeError | Interrupted]


@dataclass(slots=True)
class _AtWork:
    """A node whose work has started, with the context of its dependency, which is closed after the work."""

    task: Task
    future: Future[Result]
    dependency: ExitStack


class NodeConcurrency:
    """The nodes of a run whose work is in progress."""

    def __init__(self, context: JobContext, *, threads: int) -> None:
        self._context = context
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._at_work: list[_AtWork] = []

    def __len__(self) -> int:
        return len(self._at_work)

    def begin(self, task: Task, work: PreparedNode) -> None:
        """Start a node's work; raise `Interrupted` if the circuit breaker of its dependency is open."""
        stack = ExitStack()
        if work.dependency is not None:
            stack.enter_context(self._context.dependency(work.dependency))
        if work.later is not None:
            future = event_loop.submit(_within(work.later, task.node.timeout_seconds, work.usual_seconds))
        else:
            assert work.aside is not None
            self._pool = self._pool or ThreadPoolExecutor(self._threads, thread_name_prefix="workflow-node")
            future = self._pool.submit(work.aside)
        self._at_work.append(_AtWork(task, future, stack))

    def wait(self, seconds: float) -> list[Ended]:
        """Wait up to ``seconds`` until some work has ended. Return the work that has ended, which may be none."""
        wait([one.future for one in self._at_work], timeout=seconds, return_when=FIRST_COMPLETED)
        ended = [one for one in self._at_work if one.future.done()]
        self._at_work = [one for one in self._at_work if not one.future.done()]
        return [(one.task, _answer_of(one)) for one in ended]

    def drop(self, is_wanted: Callable[[Task], bool]) -> None:
        """Cancel the work of tasks for which ``is_wanted`` returns False."""
        for one in self._at_work:
            if not is_wanted(one.task):
                one.future.cancel()

    def close(self) -> None:
        """Cancel all work. A thread that is running is waited for, and its result is dropped."""
        for one in self._at_work:
            one.future.cancel()
        self._at_work.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


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
        case PermanentError():
            return NodeError(error.code, str(error))
        case TransientError():
            return NodeError(error.code, str(error), is_transient=True, retry_after_seconds=error.retry_after_seconds)
        case DomainError():
            return NodeError(error.code, str(error), is_transient=error.category == "unavailable")
    logger.error("workflow.node_failed", exc_info=error)
    return NodeError("internal_error", f"The node failed: {type(error).__name__}.", is_transient=True)


async def _within(work: Callable[[], Awaitable[Result]], seconds: float, usual_seconds: float | None) -> Result:
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


def _answer_of(one: _AtWork) -> Result | NodeError | Interrupted:
    if one.future.cancelled():
        with suppress(Interrupted), one.dependency:
            # It has neither succeeded nor failed.
            raise Interrupted("dropped")
        return NodeError("cancelled", "It is no longer needed.")
    try:
        with one.dependency:
            return one.future.result()
    except Interrupted as interruption:
        # Its dependency refuses every request: the run waits.
        return interruption
    except Exception as error:  # noqa: BLE001 - whatever a node's work raises is the node's error
        return failure_of(error)
