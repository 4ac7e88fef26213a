"""The run of an asynchronous kind in a process that runs one execution at a time.

The event loop runs in a thread of its own. Blocking calls of its tasks run in the process's own thread, which meanwhile
waits for them, so that connection, transaction and scope are those of a synchronous kind.
"""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import IO, Any

from asgiref.sync import async_to_sync

from scheduling.execution.lending import Lane, lending, to_its_end, with_cure
from scheduling.execution.runtime import ExecutionRuntime
from scheduling.kit.base import AsyncJobContext, Interrupted, JobContext, Outcome, TaskProcessor
from scheduling.kit.runtime import attempt_error
from scheduling.worker.control_block import Seat

# The interval at which the event loop looks for a request to stop or to yield.
WATCH_SECONDS = 0.1
# The parent ends the process of a coroutine that does not end by itself this long after its time limit.
GRACE_SECONDS = 5.0
# Of the process; in the threads of the event loop, slow uploads would delay the lookup of host names.
_uploads = ThreadPoolExecutor(8, thread_name_prefix="upload")

type Answer = Outcome | Mapping[str, Any] | None


class TimeLimitError(Exception):
    """The error of a coroutine that was cancelled because its kind's time limit had passed."""


class AsyncExecutionRuntime:
    """The implementation of :class:`~scheduling.kit.runtime.AsyncJobRuntime` for one execution."""

    def __init__(self, blocking: ExecutionRuntime, lane: Lane, seat: Seat) -> None:
        self._blocking = blocking
        self._seat = seat
        self.database, self.run = lane.transaction, lane.run

    async def report_progress(self, current: int, total: int, message: str) -> None:
        """Keep the progress for the log's thread, which writes it once a second."""
        self._blocking.note_progress(current, total, message)
        await asyncio.sleep(0)

    async def attach(self, name: str, file: bytes | IO[bytes], content_type: str) -> None:
        """Store a file as an artifact; its bytes are written without the connection, unless it would be refused."""
        opened = io.BytesIO(file) if isinstance(file, bytes) else file
        if await self.run(partial(self._blocking.may_upload, name, opened, content_type)):
            write = partial(copy_context().run, self._blocking.upload, opened)
            await to_its_end(asyncio.get_running_loop().run_in_executor(_uploads, write))
        await self.run(partial(self._blocking.attach, name, opened, content_type))

    async def should_yield(self) -> bool:
        """Return whether a yield of this job was requested; raise Interrupted if a stop was requested."""
        await asyncio.sleep(0)
        self._blocking.stop_if_requested()
        return self._seat.is_yield_requested

    async def yield_requested(self) -> None:
        """Wait until a yield of this job is requested."""
        while not self._seat.is_yield_requested:  # noqa: ASYNC110 - shared memory wakes no loop
            await asyncio.sleep(WATCH_SECONDS)


class CoroutineProcessor:
    """A processor of an asynchronous kind, with the methods of a synchronous one; each runs an event loop."""

    def __init__(self, processor: TaskProcessor, runtime: ExecutionRuntime, seat: Seat) -> None:
        self._processor: Any = processor
        self._runtime = runtime
        self._seat = seat

    def process(self, context: JobContext) -> Answer:
        """Run ``process`` to its end or to a request to stop; raise TimeLimitError if its time is up."""
        return self._run(self._processor.process, context)

    def handle_error(self, context: JobContext, error: BaseException) -> Answer:
        """Run ``handle_error``, with a time limit of its own."""
        return self._run(self._processor.handle_error, context, error)

    def _run(self, method: Callable[..., Any], context: JobContext, *args: object) -> Answer:
        with lending(context.tenant_id) as lane:
            try:
                return async_to_sync(self._supervise, force_new_loop=True)(lane, method, context, *args)
            except BaseException as error:  # noqa: BLE001 - raised below
                failure = error
        raise with_cure(attempt_error(failure))

    async def _supervise(self, lane: Lane, method: Callable[..., Any], context: JobContext, *args: object) -> Answer:
        runtime = AsyncExecutionRuntime(self._runtime, lane, self._seat)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._processor.timeout_seconds
        work = asyncio.create_task(_awaited(method(AsyncJobContext.of(context, runtime), *args)))
        stopped: Interrupted | TimeLimitError | None = None
        while not work.done():
            await asyncio.wait({work}, timeout=WATCH_SECONDS)
            cause = self._seat.interruption()
            if stopped is None and (cause is not None or loop.time() >= ends_at) and work.cancel():
                stopped = TimeLimitError() if cause is None else Interrupted(cause.value)
        if work.cancelled() and stopped is not None:
            raise stopped
        # A result is one, and an error its attempt's, even after a request to stop.
        return work.result()


async def _awaited(answer: Awaitable[Answer] | Answer) -> Answer:
    return await answer if inspect.isawaitable(answer) else answer
