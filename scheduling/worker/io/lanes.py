"""The database connections of a process of coroutines, each in a thread, that are lent to one execution at a time.

A call in such a thread goes on when the coroutine that awaits it is cancelled. So a connection is only lent again after
a last call in its thread, which follows all calls of the loan and leaves no transaction of theirs.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from asgiref.sync import ThreadSensitiveContext
from django.db import connection

from scheduling.execution.lending import refuse_statement
from scheduling.worker.io.state import ProcessState
from scheduling.worker.process_state import check_connection, drop_open_transaction

logger = logging.getLogger(__name__)

# A loan of this length is logged: the connection waits for something else than the database.
LONG_LOAN_SECONDS = 5.0
UNUSED_SECONDS = 10.0
CLOSE_SECONDS = 5.0


class _Thread:
    def __init__(self, number: int) -> None:
        self.number = number
        self.executor = ThreadPoolExecutor(1, f"lane-{number}", initializer=_refuse_strangers)
        self.thread_id = self.executor.submit(threading.get_ident).result()
        self.unused_since: float | None = None
        self.given_back: asyncio.Future[None]


class LanePool:
    """So many connections, opened when they are needed, and closed after UNUSED_SECONDS without use."""

    def __init__(self, lanes: int, state: ProcessState) -> None:
        self._state = state
        self._loop = asyncio.get_running_loop()
        # The last one that was given back is lent first, so that a process with few loans has few connections.
        self._idle = [_Thread(number) for number in reversed(range(lanes))]
        self._threads = tuple(self._idle)
        self._free = asyncio.Semaphore(lanes)

    @asynccontextmanager
    async def borrow(self, index: int) -> AsyncIterator[int]:
        """Wait for a connection, in order of arrival; within the block its thread runs the caller's blocking calls.

        Yield the id of the thread. ``index`` is the seat that has it meanwhile.
        """
        await self._free.acquire()
        thread = self._idle.pop()
        thread.given_back = self._loop.create_future()
        self._state.lane_seats[thread.number] = index + 1
        began = time.monotonic()
        try:
            async with ThreadSensitiveContext(executor=thread.executor):
                yield thread.thread_id
        finally:
            if time.monotonic() - began > LONG_LOAN_SECONDS:
                logger.warning("io.connection_held", extra={"seconds": time.monotonic() - began})
            # Not awaited: whatever happens to the calling task, the thread is lent again only after this call.
            cleaned = thread.executor.submit(_clean)
            cleaned.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._give_back, thread))

    def lent_to(self, index: int) -> set[asyncio.Future[None]]:
        """Return futures that are done once the threads run nothing more of the execution in the seat."""
        seats = self._state.lane_seats
        return {thread.given_back for thread in self._threads if seats[thread.number] == index + 1}

    def close_unused(self) -> None:
        """Close the connections that were not used for UNUSED_SECONDS."""
        now = time.monotonic()
        for thread in self._idle:
            if thread.unused_since is not None and now - thread.unused_since > UNUSED_SECONDS:
                thread.unused_since = None
                thread.executor.submit(_close)

    async def close(self) -> None:
        """Close the connections; one whose thread still runs a call is left to the end of the process."""
        closed = [asyncio.wrap_future(thread.executor.submit(_close)) for thread in self._threads]
        if closed:
            await asyncio.wait(closed, timeout=CLOSE_SECONDS)
        for thread in self._threads:
            thread.executor.shutdown(wait=False)

    def _give_back(self, thread: _Thread) -> None:
        self._state.lane_seats[thread.number] = 0
        thread.given_back.set_result(None)
        thread.unused_since = time.monotonic()
        self._idle.append(thread)
        self._free.release()


def _refuse_strangers() -> None:
    connection.execute_wrappers.append(refuse_statement)


def _close() -> None:
    # Looked up here, because each thread has its own.
    connection.close()


def _clean() -> None:
    if drop_open_transaction():
        logger.error("processor.left_transaction_open")
    check_connection()
