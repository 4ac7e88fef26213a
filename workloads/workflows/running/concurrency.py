"""The work of nodes that takes time: each is a task of the event loop on which the run's job runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext

from django.db import InterfaceError, OperationalError

from scheduling.kit.base import AsyncJobContext, Interrupted, PermanentError, TransientError
from scheduling.kit.http import NoAnswerError
from tenants.exceptions import DomainError
from workloads.workflows.engine.state import NodeError
from workloads.workflows.engine.tasks import Task
from workloads.workflows.engine.variables import TemplateFailedError, VariableMissingError
from workloads.workflows.nodes.work import PreparedNode, Result

logger = logging.getLogger(__name__)

TIMED_OUT = "timed_out"
# Tolerance between two clocks.
_EARLY_SECONDS = 0.01

type Ended = tuple[Task, Result | NodeError | Interrupted]


class NodeConcurrency:
    """The nodes of a run whose work is in progress."""

    def __init__(self, context: AsyncJobContext) -> None:
        self._context = context
        self._at_work: dict[asyncio.Task[Result], Task] = {}

    def __len__(self) -> int:
        return len(self._at_work)

    def begin(self, task: Task, work: PreparedNode) -> None:
        """Start a node's work."""
        self._at_work[asyncio.create_task(_do(self._context, task, work))] = task

    async def wait(self, seconds: float | None, others: Iterable[asyncio.Task[None]]) -> list[Ended]:
        """Wait up to ``seconds`` until some work or one of ``others`` has ended. Return the work that has ended."""
        await asyncio.wait([*self._at_work, *others], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        ended = [work for work in self._at_work if work.done()]
        return [(self._at_work.pop(work), _answer_of(work)) for work in ended]

    def drop(self, is_wanted: Callable[[Task], bool]) -> None:
        """Cancel the work of tasks for which ``is_wanted`` returns False."""
        for work, task in self._at_work.items():
            if not work.cancelling() and not is_wanted(task):
                work.cancel()

    async def close(self) -> None:
        """Cancel all work and wait for its end; its results are dropped."""
        for work in self._at_work:
            work.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)


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


async def _do(context: AsyncJobContext, task: Task, work: PreparedNode) -> Result:
    assert work.later is not None
    async with nullcontext() if work.dependency is None else context.dependency(work.dependency):
        return await _within(work.later, task.node.timeout_seconds, work.usual_seconds)


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


def _answer_of(work: asyncio.Task[Result]) -> Result | NodeError | Interrupted:
    if work.cancelled():
        return NodeError("cancelled", "It is no longer needed.")
    try:
        return work.result()
    except Interrupted as interruption:
        # Its dependency is down or refuses every request: the run waits.
        return interruption
    except Exception as error:  # noqa: BLE001 - whatever a node's work raises is the node's error
        return failure_of(error)
