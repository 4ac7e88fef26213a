"""The database thread of a process of coroutines: it starts and settles the executions of all slots, in batches.

A lone request is processed at once. While many come, it waits a little for the next ones, because a statement for fifty
executions takes little longer than one for a single execution. Once a second it writes log lines and progress reports.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from scheduling.dispatch.locked import is_lock_timeout
from scheduling.exceptions import FenceLostError
from scheduling.execution.checkpoints import save_progress_many
from scheduling.execution.logs.buffer import LogBuffer, write_buffers
from scheduling.execution.logs.job_log import SAFE_POINT_SECONDS, JobLogWriter
from scheduling.execution.message import START_PATIENCE_SECONDS
from scheduling.execution.runtime import PROGRESS_SECONDS
from scheduling.execution.settlement import Settlement
from scheduling.execution.settling import settle_with_logs
from scheduling.execution.start import StartedExecution, StartedTurn, StartRequest, announce_starts, start_each
from scheduling.fleet.blocks import MOST_BLOCKS, note_blocks
from scheduling.worker.io.execution import CoroutineExecution
from scheduling.worker.process_state import CONNECTION_ERRORS, retry_on_disconnect

logger = logging.getLogger(__name__)

MOST_IN_BATCH = 50
LINGER_SECONDS = 0.005
# The time for output in a round of reports: a write may wait for a locked row.
OUTPUT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class SettleRequest:
    """A settlement to store with the execution's last log lines; None if another worker has taken the job."""

    settlement: Settlement | None
    buffer: LogBuffer | None


type Request = StartRequest | SettleRequest
type Answer = StartedExecution | Exception | None
type Asked = tuple[Request, asyncio.Future[StartedExecution | None]]


class DatabaseThread(threading.Thread):
    """A thread with a connection; the coroutines of one event loop await what it does.

    ``running`` returns the executions whose log lines and progress are to be written; it is called in this thread.
    ``blocks`` are the blocks of the loop that are not stored yet.
    """

    def __init__(self, worker_id: UUID, running: Callable[[], Iterable[CoroutineExecution]]) -> None:
        super().__init__(name="io-database", daemon=True)
        self._worker_id = worker_id
        self._running = running
        self.blocks: deque[Mapping[str, Any]] = deque(maxlen=MOST_BLOCKS)
        self._loop = asyncio.get_running_loop()
        self._requests: deque[Asked] = deque()
        self._news = threading.Condition()
        self._is_closing = False
        self._reports_due_at = time.monotonic() + PROGRESS_SECONDS
        self._last_output = -1

    # On the loop -----------------------------------------------------------------------------------

    async def start_execution(self, request: StartRequest) -> StartedExecution | None:
        """Start the execution of a message; return None if it may not be started."""
        return await self._ask(request)

    async def settle(self, settlement: Settlement | None, log: JobLogWriter) -> None:
        """Store the settlement of an execution together with the rest of its log."""
        await self._ask(SettleRequest(settlement, log.buffer))

    def close(self) -> None:
        """Let the thread end once it has processed what was asked."""
        with self._news:
            self._is_closing = True
            self._news.notify()

    async def _ask(self, request: Request) -> StartedExecution | None:
        answer: asyncio.Future[StartedExecution | None] = self._loop.create_future()
        with self._news:
            self._requests.append((request, answer))
            self._news.notify()
        return await answer

    # In the thread ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Process requests in batches until closed; an error ends only what it concerns."""
        size = 0
        try:
            while (batch := self._next_batch(lingers=size > 1)) is not None:
                size = len(batch)
                self._run_round(batch)
            self._reports_due_at = 0.0
            self._run_round(())
        except BaseException:
            # Without this thread all seats would stay held with healthy leases: the parent settles them instead.
            logger.critical("io.database_thread_ended", exc_info=True)
            os.kill(os.getpid(), signal.SIGKILL)
        connection.close()

    def _run_round(self, batch: Sequence[Asked]) -> None:
        try:
            if batch:
                self._run_batch(batch)
            if time.monotonic() >= self._reports_due_at:
                self._write_reports()
        except Exception as error:
            logger.exception("io.round_failed")
            # Those that have their answers keep them.
            self._loop.call_soon_threadsafe(_deliver, [(future, error) for _, future in batch])

    def _next_batch(self, *, lingers: bool) -> Sequence[Asked] | None:
        """Wait for requests and return them, or nothing once reports are due; return None at the end."""
        with self._news:
            self._news.wait_for(self._has_news, max(0.0, self._reports_due_at - time.monotonic()))
            if lingers and self._requests:
                self._news.wait_for(self._is_full, LINGER_SECONDS)
            if not self._requests and self._is_closing:
                return None
            return [self._requests.popleft() for _ in range(min(MOST_IN_BATCH, len(self._requests)))]

    def _has_news(self) -> bool:
        return bool(self._requests) or self._is_closing

    def _is_full(self) -> bool:
        return len(self._requests) >= MOST_IN_BATCH or self._is_closing

    def _run_batch(self, batch: Sequence[Asked]) -> None:
        # Settlements first: they free the places of the jobs that start next.
        settled = [(one, future) for one, future in batch if isinstance(one, SettleRequest)]
        starting = [(one, future) for one, future in batch if isinstance(one, StartRequest)]
        if settled:
            error = _settle([one for one, _ in settled])
            self._loop.call_soon_threadsafe(_deliver, [(future, error) for _, future in settled])
        if starting:
            found = self._start([one for one, _ in starting])
            begun = [StartedTurn.of(one) for one in found.values() if isinstance(one, StartedExecution)]
            # One answer, even if two messages name the same execution.
            answers = [(future, found.pop(one.execution_id, None)) for one, future in starting]
            self._loop.call_soon_threadsafe(_deliver, answers)
            try:
                announce_starts(begun)
            except Exception:
                logger.exception("io.start_not_announced")

    def _start(self, requests: Sequence[StartRequest]) -> dict[UUID, Answer]:
        try:
            begun = retry_on_disconnect(
                lambda: start_each(requests, worker_id=self._worker_id), give_up_after_seconds=START_PATIENCE_SECONDS
            )
        except CONNECTION_ERRORS as error:
            return {one.execution_id: error for one in requests}
        except Exception as error:  # noqa: BLE001 - delivered to the message that it concerns
            if len(requests) == 1:
                return {requests[0].execution_id: error}
            return {key: answer for one in requests for key, answer in self._start([one]).items()}
        return {one.execution_id: one for one in begun}

    def _write_reports(self) -> None:
        self._reports_due_at = time.monotonic() + PROGRESS_SECONDS
        running = list(self._running())
        old = time.monotonic() - SAFE_POINT_SECONDS
        buffers = [one.log.buffer for one in running if one.log.buffer is not None]
        write_buffers([buffer for buffer in buffers if 0.0 < buffer.waiting_since <= old])
        self._write_outputs([one for one in running if one.runtime.has_output])
        try:
            if self.blocks:
                note_blocks(self._worker_id, [self.blocks.popleft() for _ in range(len(self.blocks))])
            _save_progress(running)
        except CONNECTION_ERRORS:
            connection.close()
        except Exception:
            logger.exception("io.progress_not_written")

    def _write_outputs(self, waiting: Sequence[CoroutineExecution]) -> None:
        """Write output, seat by seat from round to round, until requests wait or the time is up."""
        until = time.monotonic() + OUTPUT_SECONDS
        for one in sorted(waiting, key=lambda one: (one.index <= self._last_output, one.index)):
            self._last_output = one.index
            _write_output(one)
            if self._requests or time.monotonic() >= until:
                return


def _save_progress(running: Sequence[CoroutineExecution]) -> None:
    unsaved = [(one, report) for one in running if (report := one.runtime.unsaved_progress) is not None]
    if not unsaved:
        return
    saved = save_progress_many([(one.started.job_id, one.started.fence, report) for one, report in unsaved])
    for one, report in unsaved:
        if one.started.job_id in saved:
            one.runtime.note_progress_saved(report)


def _write_output(execution: CoroutineExecution) -> None:
    try:
        execution.runtime.write_output()
    except FenceLostError:
        # The settlement of the execution will find no row.
        return
    except OperationalError as error:
        if not is_lock_timeout(error):
            connection.close()
    except InterfaceError:
        connection.close()
    except Exception:
        logger.exception("io.output_not_written")


def _settle(requests: Sequence[SettleRequest]) -> Exception | None:
    settlements = [one.settlement for one in requests if one.settlement is not None]
    try:
        settle_with_logs(settlements, [one.buffer for one in requests if one.buffer is not None])
    except Exception as error:
        logger.exception("io.not_settled", extra={"executions": len(settlements)})
        return error
    return None


def _deliver(answers: Sequence[tuple[asyncio.Future[StartedExecution | None], Answer]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
