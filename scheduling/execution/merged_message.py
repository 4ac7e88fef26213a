"""The runs of small jobs that share one message.

Each job runs as if it had a message of its own. They share the slot and the statements that start them, write their log
lines and settle them. MESSAGE_SECONDS after the start a thread settles the finished ones and returns the waiting ones,
so that a job that takes longer than predicted delays only itself.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from django.db import connection

from scheduling.conf import MESSAGE_SECONDS
from scheduling.execution import settlement_builders
from scheduling.execution.logs.buffer import MAX_BUFFERED_LINES, LogBuffer, write_buffers
from scheduling.execution.logs.job_log import END_SECONDS, JobLogWriter
from scheduling.execution.processing import ExecutionResult, log_writer_of, settle_with_effects
from scheduling.execution.settlement import Settlement
from scheduling.execution.settling import settle_with_logs
from scheduling.execution.start import StartedExecution, StartedTurn, announce_starts
from scheduling.worker.control_block import Cause, Seat

logger = logging.getLogger(__name__)

TIME_IS_UP = "the message's time was used up"
CUT_SHORT = "the message ended early"


class MergedMessage:
    """The executions of one message that have finished, run or wait to be run."""

    def __init__(self, members: Sequence[StartedExecution], seat: Seat, *, waited_seconds: float = 0.0) -> None:
        self.seat = seat
        # The message held no slot between its start and the first turn.
        self._waited_seconds = waited_seconds
        self._began = time.monotonic()
        self._turn_began = self._began
        self._waiting = deque(members)
        # The number of turns begun, and whether one was settled with effects of its own.
        self._turns = 0
        self._has_effects = False
        self._begun: list[StartedTurn] = []
        self._done: list[Settlement] = []
        # The log buffers of finished turns with their number of lines, and the log of the current turn.
        self._logs: list[LogBuffer] = []
        self._lines = 0
        self._log: JobLogWriter | None = None
        self._is_over = False
        self._guard = threading.Lock()
        self._timer = threading.Timer(MESSAGE_SECONDS, self._end_in_time)
        self._timer.daemon = True
        try:
            self._timer.start()
        except RuntimeError:
            # No thread is available: the time is still checked between two turns.
            logger.warning("message.no_thread", exc_info=True)

    @property
    def elapsed_seconds(self) -> float:
        """Return the seconds since the message was started."""
        return time.monotonic() - self._began

    @property
    def _turn_began_after(self) -> float:
        """Return the seconds from the message's start in the database to the current turn."""
        return self._turn_began - self._began + self._waited_seconds

    @property
    def seconds_left(self) -> float:
        """Return how long the waiting jobs are expected to run, in seconds.

        It is infinite before the first job, and after a job with effects, whose time is unknown.
        """
        if not self._waiting:
            return 0.0
        if not self._turns or self._has_effects:
            return math.inf
        return self.elapsed_seconds / self._turns * len(self._waiting)

    @property
    def log(self) -> JobLogWriter:
        """Return the log writer of the job that runs now."""
        assert self._log is not None
        return self._log

    def begin_next(self) -> StartedExecution | None:
        """Return the next execution to run; None if there is none, the message's time is up or the worker stops."""
        with self._guard:
            is_stopping = self.seat.interruption() is Cause.SHUTDOWN
            if self._is_over or is_stopping or not self._waiting or self.elapsed_seconds > MESSAGE_SECONDS:
                return None
            started = self._waiting.popleft()
            self.seat.take_turn(started.execution_id)
            self._log = log_writer_of(started, is_shared=True)
            self._turn_began = time.monotonic()
            self._turns += 1
            self._begun.append(StartedTurn.of(started, after_seconds=self._turn_began_after))
        if started.deadline_at is None or started.is_expired:
            return started
        now = started.started_at + timedelta(seconds=self._turn_began_after)
        return replace(started, is_expired=started.deadline_at <= now)

    def end(self, work: ExecutionResult) -> None:
        """Record the result of the job that ran last; it is settled later together with the others.

        A job with effects is settled at once on its own, so that a failing effect affects no other job.
        """
        with self._guard:
            self.seat.end_turn()
            pending = work.with_costs(
                began_us=int(self._turn_began_after * 1e6),
                measured_us=int((time.monotonic() - self._turn_began) * 1e6),
            )
            if pending.settlement is None or pending.effects is not None:
                self._has_effects = True
                self._announce()
                work.log.flush(wait_seconds=END_SECONDS)
                settle_with_effects(pending, work.started)
                self.seat.note_settled([work.started.execution_id])
                work.log.flush()
                return
            self._done.append(pending.settlement)
            if work.log.buffer is not None:
                self._logs.append(work.log.buffer)
                self._lines += len(work.log.buffer)
                if self._lines > MAX_BUFFERED_LINES:
                    self._write_logs()

    def finish(self, *, is_end_announced: bool = False) -> None:
        """Settle the finished executions, and return the waiting ones to be dispatched again."""
        self._timer.cancel()
        with self._guard:
            for settlement in self._done:
                settlement.is_end_announced = is_end_announced
            self._settle(CUT_SHORT if self.elapsed_seconds < MESSAGE_SECONDS else TIME_IS_UP)

    def _end_in_time(self) -> None:
        try:
            with self._guard:
                # First, because settling may fail or take long, and the current turn may last for hours.
                if self._log is not None:
                    self._log.write_alone()
                if not self._is_over:
                    self._settle(TIME_IS_UP)
        except Exception:
            # The end of the current turn settles what is left in the lists.
            logger.exception("message.not_ended_in_time")
        finally:
            connection.close()

    def _announce(self) -> None:
        """Announce the turns begun so far together, since each announcement costs as much as a turn."""
        if self._begun:
            announce_starts(self._begun)
            self._begun = []

    def _write_logs(self) -> None:
        write_buffers(self._all_logs(), wait_seconds=END_SECONDS)
        self._lines = 0

    def _all_logs(self) -> Sequence[LogBuffer]:
        """Return the buffers of all turns, including the current one: it may be the last of this process."""
        own = self._log.buffer if self._log is not None else None
        return self._logs if own is None or own in self._logs else [*self._logs, own]

    def _settle(self, cause: str) -> None:
        self._is_over = True
        self._announce()
        back = [settlement_builders.returned(one.execution_id, one.fence, cause=cause) for one in self._waiting]
        settlements = [*self._done, *back]
        if not settlements:
            self._write_logs()
            return
        settle_with_logs(settlements, self._all_logs())
        self._lines = 0
        self.seat.note_settled({settlement.execution_id for settlement in settlements})
        # Lines that an unavailable database did not accept before.
        write_buffers(self._logs)
        self._waiting.clear()
        self._done.clear()
        self._logs.clear()
