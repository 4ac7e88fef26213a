"""The turns of small jobs that travel in one message.

Each is performed as if it were alone; what they share is the slot, the statement that starts them, the one that
writes what they have logged and the one that settles them. Two hundred milliseconds after the start a thread settles
what is done and hands back those whose turn has not come: a job that takes longer than it was predicted to holds up
nobody but itself.
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
from scheduling.execution import verdicts
from scheduling.execution.logs.buffer import MAX_BUFFERED_LINES, LogBuffer, write_buffers
from scheduling.execution.logs.job_log import END_SECONDS, JobLogWriter
from scheduling.execution.performing import Work, log_of
from scheduling.execution.settlement import Settlement
from scheduling.execution.settling import settle, settle_with_logs
from scheduling.execution.start import Begun, StartedExecution, announce_starts
from scheduling.worker.control_block import Cause, Seat

logger = logging.getLogger(__name__)

TIME_IS_UP = "the message's time was up"
CUT_SHORT = "the message was cut short"


class Turns:
    """Who of a message is done, whose turn it is and who waits for it."""

    def __init__(self, members: Sequence[StartedExecution], seat: Seat, *, waited_seconds: float = 0.0) -> None:
        self.seat = seat
        # Between their start and the first turn nobody had the slot.
        self._waited_seconds = waited_seconds
        self._began = time.monotonic()
        self._turn_began = self._began
        self._waiting = deque(members)
        # That have begun; and whether one of them was settled with effects of its own.
        self._turns = 0
        self._has_effects = False
        self._begun: list[Begun] = []
        self._done: list[Settlement] = []
        # Of the turns that are over and have logged something, how much that was, and of the turn at hand.
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
            # No thread is to be had: the time is looked at between two turns all the same.
            logger.warning("message.no_thread", exc_info=True)

    @property
    def elapsed_seconds(self) -> float:
        """Time since the message was begun."""
        return time.monotonic() - self._began

    @property
    def _turn_began_after(self) -> float:
        """Seconds from the message's start in the database to the turn at hand."""
        return self._turn_began - self._began + self._waited_seconds

    @property
    def seconds_left(self) -> float:
        """What those who wait take if they are as long as those before; what effects take nobody knows."""
        if not self._waiting:
            return 0.0
        if not self._turns or self._has_effects:
            return math.inf
        return self.elapsed_seconds / self._turns * len(self._waiting)

    @property
    def log(self) -> JobLogWriter:
        """Of the turn at hand."""
        assert self._log is not None
        return self._log

    def begin_next(self) -> StartedExecution | None:
        """The execution whose turn comes; None when all had theirs, the time is up or the worker stops."""
        with self._guard:
            is_stopping = self.seat.interruption() is Cause.SHUTDOWN
            if self._is_over or is_stopping or not self._waiting or self.elapsed_seconds > MESSAGE_SECONDS:
                return None
            started = self._waiting.popleft()
            self.seat.take_turn(started.execution_id)
            self._log = log_of(started, is_shared=True)
            self._turn_began = time.monotonic()
            self._turns += 1
            self._begun.append(Begun.of(started, after_seconds=self._turn_began_after))
        if started.deadline_at is None or started.is_expired:
            return started
        now = started.started_at + timedelta(seconds=self._turn_began_after)
        return replace(started, is_expired=started.deadline_at <= now)

    def end(self, work: Work) -> None:
        """Its turn is over. What has effects is settled with them at once, so that a failing one harms no other."""
        with self._guard:
            self.seat.end_turn()
            verdict = work.settled_as(
                began_us=int(self._turn_began_after * 1e6),
                measured_us=int((time.monotonic() - self._turn_began) * 1e6),
            )
            if verdict.settlement is None or verdict.effects is not None:
                self._has_effects = True
                self._announce()
                work.log.flush(wait_seconds=END_SECONDS)
                settle(verdict, work.started)
                self.seat.note_settled([work.started.execution_id])
                work.log.flush()
                return
            self._done.append(verdict.settlement)
            if work.log.buffer is not None:
                self._logs.append(work.log.buffer)
                self._lines += len(work.log.buffer)
                if self._lines > MAX_BUFFERED_LINES:
                    self._write_logs()

    def finish(self) -> None:
        """Settle what is done and hand back who waits."""
        self._timer.cancel()
        with self._guard:
            self._settle(CUT_SHORT if self.elapsed_seconds < MESSAGE_SECONDS else TIME_IS_UP)

    def _end_in_time(self) -> None:
        try:
            with self._guard:
                # First, since settling may fail or take long: the turn at hand may go on for hours.
                if self._log is not None:
                    self._log.write_alone()
                if not self._is_over:
                    self._settle(TIME_IS_UP)
        except Exception:
            # What is left in the lists is settled when the turn at hand is over.
            logger.exception("message.not_ended_in_time")
        finally:
            connection.close()

    def _announce(self) -> None:
        """Tell of the turns that have begun: together, since each telling costs as much as a turn."""
        if self._begun:
            announce_starts(self._begun)
            self._begun = []

    def _write_logs(self) -> None:
        write_buffers(self._all_logs(), wait_seconds=END_SECONDS)
        self._lines = 0

    def _all_logs(self) -> Sequence[LogBuffer]:
        """Of all turns, that at hand included: it may be the last one of this process."""
        own = self._log.buffer if self._log is not None else None
        return self._logs if own is None or own in self._logs else [*self._logs, own]

    def _settle(self, cause: str) -> None:
        self._is_over = True
        self._announce()
        back = [verdicts.returned(one.execution_id, one.fence, cause=cause) for one in self._waiting]
        settlements = [*self._done, *back]
        if not settlements:
            self._write_logs()
            return
        settle_with_logs(settlements, self._all_logs())
        self._lines = 0
        self.seat.note_settled({settlement.execution_id for settlement in settlements})
        # What a database that was away did not take before.
        write_buffers(self._logs)
        self._waiting.clear()
        self._done.clear()
        self._logs.clear()
