"""The log of one execution in a child: a bounded buffer, written by whoever comes first.

The processor's own thread writes at safe points and at the end. A thread of the log's own writes
what has waited for a second, on a connection of its own: a job that computes for an hour between
two safe points, or inside a transaction, is read all the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.services.job_logs import Level, LogLine, LogRoom, append_job_log
from scheduling.worker.connections import CONNECTION_ERRORS
from scheduling.worker.log_lines import make_line

logger = logging.getLogger(__name__)

# No line waits longer than this to be seen.
FLUSH_SECONDS = 1.0
# What is this old is taken along at a safe point, which saves the thread its connection.
SAFE_POINT_SECONDS = 0.5
# Lines kept between two flushes: the greatest rate of a job, and what an outage may pile up.
MAX_BUFFERED_LINES = 1_000
# How long the end of an execution waits for a flush that hangs.
END_SECONDS = 5.0


class JobLogWriter:
    """Where ``context.log`` leads. Neither :meth:`add` nor :meth:`flush` ever raises."""

    def __init__(self, *, tenant_id: UUID, job_id: UUID, execution_id: UUID, attempt: int) -> None:
        self._ids: dict[str, Any] = {
            "tenant_id": tenant_id,
            "job_id": job_id,
            "execution_id": execution_id,
            "attempt": attempt,
        }
        self._lines: list[LogLine] = []
        self._overflow = 0
        self._dropped = 0
        self._room: LogRoom | None = None
        self._waiting_since = 0.0
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._is_ended = False
        # Both are made when they are needed: most jobs say nothing.
        self._thread: threading.Thread | None = None
        self._end_asked: threading.Event | None = None
        self._also: Callable[[], bool] | None = None

    def also_write(self, write: Callable[[], bool]) -> None:
        """Have the thread call ``write`` once a second too: it says whether there was something to write, and may raise
        what a database that is away raises.
        """
        self._also = write

    def write_later(self) -> None:
        """Something else has come that the thread should write."""
        with self._guard:
            self._start_thread()

    def add(self, message: object, level: object, fields: Mapping[str, Any]) -> None:
        """Keep one line for the next flush."""
        try:
            line = make_line(message, level, fields)
        except Exception:  # noqa: BLE001 - logging never fails a job
            line = make_line("a line that could not be read", "warning", {})
        with self._guard:
            self._keep(line)
            self._start_thread()

    def flush_if_due(self) -> None:
        """At a safe point: write what has waited, unless a transaction of the job's own is open."""
        if self._waiting_since and time.monotonic() - self._waiting_since >= SAFE_POINT_SECONDS:
            self.flush()

    def flush(self, *, wait_seconds: float = 0.0) -> None:
        """Write what is there with one statement; what the database does not take now is kept, up to the bound."""
        if not self._waiting_since or connection.in_atomic_block:
            return
        if not self._writing.acquire(timeout=wait_seconds):
            return
        try:
            self._write()
        finally:
            self._writing.release()

    def end_thread(self) -> None:
        """From now on nobody writes but who asks for it."""
        self._is_ended = True
        if self._thread is not None and self._end_asked is not None:
            self._end_asked.set()
            self._thread.join(END_SECONDS)

    def end(self) -> None:
        """The processor is done: stop the thread and write the rest."""
        self.end_thread()
        self.flush(wait_seconds=END_SECONDS)

    def _start_thread(self) -> None:
        if self._thread is not None or self._is_ended:
            return
        self._end_asked = threading.Event()
        thread = threading.Thread(target=self._write_each_second, args=[self._end_asked], name="job-log", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No thread is to be had: safe points and the end write all the same.
            logger.warning("job_log.no_thread", exc_info=True)
        else:
            self._thread = thread

    def _keep(self, line: LogLine) -> None:
        full = self._room if self._room is not None and self._room.is_full else None
        # A full log only counts; until then the statement knows best which levels are kept at the moment.
        if full is not None and line.level < full.level:
            return
        self._waiting_since = self._waiting_since or time.monotonic()
        if full is not None:
            self._dropped += 1
        elif len(self._lines) >= MAX_BUFFERED_LINES:
            self._overflow += 1
        else:
            self._lines.append(line)

    def _write(self) -> None:
        with self._guard:
            lines, self._lines = self._lines, []
            overflow, self._overflow = self._overflow, 0
            dropped, self._dropped = self._dropped, 0
            since, self._waiting_since = self._waiting_since, 0.0
        written = [*lines, _overflow_line(overflow)] if overflow else lines
        try:
            self._room = append_job_log(lines=written, dropped=dropped, **self._ids)
        except CONNECTION_ERRORS:
            connection.close()
            with self._guard:
                kept = [*lines, *self._lines]
                self._lines = kept[:MAX_BUFFERED_LINES]
                self._overflow += overflow + len(kept) - len(self._lines)
                self._dropped += dropped
                self._waiting_since = since
        except Exception:
            logger.exception("job_log.not_written", extra={"lines": len(lines)})

    def _write_each_second(self, end_asked: threading.Event) -> None:
        try:
            # Looked at first: who ended it meanwhile may not have seen this thread.
            while not self._is_ended and not end_asked.wait(FLUSH_SECONDS):
                is_idle = not self._waiting_since
                self.flush(wait_seconds=FLUSH_SECONDS)
                # Afterwards: it may wait for the job's row.
                if not self._write_also() and is_idle:
                    connection.close()
        finally:
            connection.close()

    def _write_also(self) -> bool:
        try:
            return self._also is not None and self._also()
        except CONNECTION_ERRORS:
            connection.close()
        except Exception:
            logger.exception("job_log.progress_not_written")
        return False


def _overflow_line(count: int) -> LogLine:
    """What stands for lines that found the buffer full."""
    message = f"{count:,} lines dropped: they came faster than they could be written"
    line = make_line(message, "warning", {})
    return LogLine(line.id, Level.WARNING, line.message, line.fields, line.at)
