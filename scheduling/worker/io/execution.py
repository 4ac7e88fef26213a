"""One execution of an asynchronous kind among others on the same event loop: its run, and what its end settles."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from scheduling.execution import policy
from scheduling.execution.coroutines import GRACE_SECONDS, Answer, AsyncExecutionRuntime, TimeLimitError
from scheduling.execution.lending import Lane, with_cure
from scheduling.execution.logs.job_log import capturing
from scheduling.execution.processing import (
    SETTLE_PATIENCE_SECONDS,
    PendingSettlement,
    context_of,
    ended_by_platform,
    log_writer_of,
    note_begun,
    settings_for,
    settle_with_effects,
    settlement_without_run,
)
from scheduling.execution.runtime import ExecutionRuntime
from scheduling.execution.settlement import Settlement
from scheduling.execution.start import StartedExecution
from scheduling.fleet.blocks import new_block
from scheduling.jobs.result_cache.service import ResultCache
from scheduling.kit import registry
from scheduling.kit.base import AsyncJobContext, Interrupted, TaskProcessor
from scheduling.kit.retry import RetryPolicy
from scheduling.kit.runtime import attempt_error
from scheduling.worker.child_exit import AFTER_GRACE, ExitCause
from scheduling.worker.control_block import Cause, Seat
from scheduling.worker.io.state import ProcessState
from scheduling.worker.io.stepping import occupant

logger = logging.getLogger(__name__)

# If the code of an execution does not end so long after a stop or its own end, its process is ended; after its time
# limit, GRACE_SECONDS are enough. Effects may also wait for an unavailable database.
STOP_GRACE_SECONDS = 30.0


class SlotRuntime(AsyncExecutionRuntime):
    """The services of an execution in a process of coroutines, where one task looks at the seats for all of them."""

    def __init__(self, execution: CoroutineExecution) -> None:
        super().__init__(execution.runtime, execution.lane, execution.seat)
        self._yielding = execution.yielding

    async def yield_requested(self) -> None:
        """Wait until a yield of this job is requested."""
        await self._yielding.wait()


class CoroutineExecution:
    """A started execution; it is the occupant of the seat ``index``.

    ``yielding`` is set once a yield is requested, ``tasks`` are the tasks of the processor that have not ended, and
    ``lent`` returns the calls of theirs that run in threads. While one of them goes on, nothing is settled, because a
    retry would run beside it: the parent, which reads ``state``, ends the process. ``note_block`` stores a block of the
    loop.
    """

    def __init__(
        self,
        started: StartedExecution,
        seat: Seat,
        index: int,
        lane: Lane,
        *,
        lent: Callable[[], set[asyncio.Future[None]]],
        note_block: Callable[[Mapping[str, Any]], None],
        state: ProcessState,
    ) -> None:
        self.started = started
        self.seat = seat
        self.index = index
        self.lane = lane
        self.log = log_writer_of(started, is_shared=True)
        self.runtime = ExecutionRuntime(started, seat, self.log)
        self.yielding = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.is_over = False
        self._lent = lent
        self._note_block = note_block
        self._state = state
        self._context = context_of(started, self.runtime, {})
        self._work: asyncio.Task[Answer] | None = None
        self._abandoning: asyncio.TimerHandle | None = None
        self._stopped: Interrupted | TimeLimitError | None = None

    def note_block(self, seconds: float) -> None:
        """Add a line to the job's log, and one to its worker's blocks, about a step that blocked the loop."""
        self.log.add("blocked the event loop", "warning", {"milliseconds": round(seconds * 1_000)})
        self._note_block(new_block(self.started.job_id, seconds))

    def stop(self, reason: Interrupted | TimeLimitError) -> None:
        """Cancel the processor; ``reason`` settles the execution unless it ends in another way. Once is enough."""
        if self._stopped is None:
            self._stopped = reason
            if self._work is not None:
                self._work.cancel()
                self._expect_end(GRACE_SECONDS if isinstance(reason, TimeLimitError) else STOP_GRACE_SECONDS)

    async def run(self) -> PendingSettlement:
        """Run the kind's processor, and return the settlement for the way in which it ended."""
        started = self.started
        unrun = partial(settlement_without_run, started)
        if (settlement := unrun() if started.unreadable is None else await self.lane.run(unrun)) is not None:
            return PendingSettlement(settlement)
        if registry.resource_class(started.kind) != "io":
            # It would block the event loop; the dispatcher holds such jobs back.
            return PendingSettlement(policy.kind_unknown_of(started))
        kind = registry.get(started.kind)
        retries = policy.retry_policy(started, kind)
        note_begun(self.seat, started, kind, retries)
        try:
            with capturing(kind, self.log):
                settlement = await self._answer(kind, kind(), retries)
        except Interrupted as interruption:
            stopped = partial(self.runtime.settlement_of, interruption.cause)
            # Refusals of a dependency are counted in the database; no other stop waits for a connection.
            settlement = await self.lane.run(stopped) if interruption.cause == Cause.DEPENDENCY else stopped()
            return PendingSettlement(None if settlement is None else await self._with_reports(settlement))
        return PendingSettlement(await self._with_reports(settlement), self.runtime.settlement_effects(settlement))

    async def settle_with_effects(self, pending: PendingSettlement) -> None:
        """Store the settlement with its effects: once they have a connection, they get the time limit of the kind."""
        limit_seconds = registry.get(self.started.kind).timeout_seconds + SETTLE_PATIENCE_SECONDS
        async with self.lane.lent():
            self._stopped = TimeLimitError()
            abandoning = self._expect_end(limit_seconds)
            try:
                await self.lane.run(partial(settle_with_effects, pending, self.started))
            finally:
                abandoning.cancel()

    async def _with_reports(self, settlement: Settlement) -> Settlement:
        if self.runtime.has_output:
            await self.lane.run(self.runtime.write_last_output)
        return self.runtime.with_reports(settlement, writes_output=False)

    async def _answer(self, kind: type[TaskProcessor], processor: Any, retries: RetryPolicy) -> Settlement:
        """Run the processor, and let it handle its own error."""
        started = self.started
        try:
            if kind.settings:
                settings: Mapping[str, Any] = await self.lane.run(partial(settings_for, kind, started))
                self._context = context_of(started, self.runtime, settings)
            reuse = ResultCache(kind, self._context) if kind.result_kept_seconds else None
            reused = None if reuse is None else await self.lane.run(reuse.find)
            answer = reused or await self._supervised(processor.process, kind)
            settlement = policy.settlement_of(answer, started, retries)
            return settlement if reuse is None else reuse.kept(settlement)
        except Interrupted:
            raise
        except BaseException as error:  # noqa: BLE001 - any error of a plug-in is its attempt's error
            if (ended := await self._ended_by_platform(error, kind, retries)) is not None:
                return ended
            return await self._answer_to_error(kind, processor, error, retries)

    async def _answer_to_error(
        self, kind: type[TaskProcessor], processor: Any, error: BaseException, retries: RetryPolicy
    ) -> Settlement:
        try:
            answer = await self._supervised(processor.handle_error, kind, error)
            if answer is not None:
                return policy.settlement_of(answer, self.started, retries)
        except Exception as second:
            if (ended := await self._ended_by_platform(second, kind, retries)) is not None:
                return ended
            logger.exception("processor.handle_error_failed")
            second.__context__ = error
            return policy.failure_of(second, self.started, retries)
        return policy.failure_of(error, self.started, retries)

    async def _ended_by_platform(
        self, error: BaseException, kind: type[TaskProcessor], retries: RetryPolicy
    ) -> Settlement | None:
        return await self.lane.run(partial(ended_by_platform, error, kind, self.started, retries))

    async def _supervised(self, method: Callable[..., Any], kind: type[TaskProcessor], *args: object) -> Answer:
        """Run a method of the processor until it ends, a stop is requested or its time is up, and end its tasks."""
        if isinstance(self._stopped, Interrupted):
            raise self._stopped
        self._stopped = None
        self.is_over = False
        loop = asyncio.get_running_loop()
        context = AsyncJobContext.of(self._context, SlotRuntime(self))
        # Of the processor's tasks only: those of the platform go on when its code has ended.
        token = occupant.set(self)
        self._work = work = loop.create_task(_called(method, context, *args))
        occupant.reset(token)
        timer = loop.call_later(kind.timeout_seconds, self.stop, TimeLimitError())
        await asyncio.wait({work})
        timer.cancel()
        await self._end_tasks()
        self._work, self.is_over = None, True
        try:
            return self._result_of(work)
        except BaseException as error:  # noqa: BLE001 - raised below
            failure = error
        raise with_cure(attempt_error(failure))

    def _result_of(self, work: asyncio.Task[Answer]) -> Answer:
        # A result is one, and an error its attempt's, even after a request to stop.
        if self._stopped is not None and work.cancelled():
            raise self._stopped
        return work.result()

    async def _end_tasks(self) -> None:
        """Cancel the tasks that the processor has left, each once, and wait for their end and that of their calls."""
        abandoning = self._expect_end(STOP_GRACE_SECONDS)
        cancelled: set[asyncio.Task[Any]] = set()
        while left := {*(tasks := {task for task in self.tasks if not task.done()}), *self._lent()}:
            for task in tasks - cancelled:
                task.cancel()
            cancelled |= tasks
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        abandoning.cancel()
        self._abandoning = None

    def _expect_end(self, seconds: float) -> asyncio.TimerHandle:
        """Have the process ended unless the processor's code ends in time; the first call counts."""
        if self._abandoning is None:
            self._abandoning = asyncio.get_running_loop().call_later(seconds, self._abandon)
        return self._abandoning

    def _abandon(self) -> None:
        match self._stopped:
            case Interrupted() as interruption:
                cause = AFTER_GRACE[Cause(interruption.cause)]
            case TimeLimitError():
                cause = ExitCause.TIMED_OUT
            case None:
                cause = ExitCause.TASKS_LEFT
        self._state.abandon(self.index, cause)


async def _called(method: Callable[..., Any], *args: object) -> Answer:
    answer: Answer | Awaitable[Answer] = method(*args)
    return await answer if inspect.isawaitable(answer) else answer
