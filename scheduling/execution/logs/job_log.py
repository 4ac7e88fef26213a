"""The log writer of one execution in a child process: a bounded buffer that two threads write to the database.

The processor's thread writes at safe points and at the end. A separate thread with a separate connection writes lines
that have waited for a second, so that the log of a job is visible that computes for an hour between safe points or
inside a transaction. The logs of small jobs that share a message are written together when these are settled, and need
no thread as long as that is soon.

Records of Python's ``logging`` from a plug-in's own code go into this log too: those of the namespaces of the job's
kind that are made in the context of its execution, which is the processor's thread and threads that get a copy of its
context. A thread that outlives its job keeps the context of that job and never writes into the next one's log. The
loggers keep the handler once a job of the kind has run, because adding and removing it is slow for a small job.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.execution.logs.buffer import LogBuffer, write_buffers
from scheduling.execution.logs.lines import make_line
from scheduling.kit.base import TaskProcessor
from scheduling.worker.process_state import CONNECTION_ERRORS

logger = logging.getLogger(__name__)

# The longest time until a line is visible.
FLUSH_SECONDS = 1.0
# Lines of this age are written at a safe point, which saves the thread its connection.
SAFE_POINT_SECONDS = 0.5
# The longest that the end of an execution waits for a hanging flush.
END_SECONDS = 5.0
# Marks a captured record: it passes again if the namespaces of two kinds are nested.
TAKEN = "_taken_by_job_log"


class JobLogWriter:
    """The log writer behind ``context.log`` of one execution. Neither :meth:`add` nor :meth:`flush` ever raises.

    ``buffer`` is None until the first line: most jobs log nothing. With ``is_shared`` the lines are written soon with
    those of other executions: no thread is started, and the end writes nothing, unless :meth:`write_alone` was called.
    ``facts`` are for observers of the lines.
    """

    def __init__(
        self,
        *,
        tenant_id: UUID,
        job_id: UUID,
        execution_id: UUID,
        attempt: int,
        is_shared: bool = False,
        facts: Mapping[str, str | None] | None = None,
    ) -> None:
        self.buffer: LogBuffer | None = None
        self._origin = (tenant_id, job_id, execution_id, attempt, facts)
        self._is_shared = is_shared
        self._is_thread_wanted = False
        self._guard = threading.Lock()
        self._is_ended = False
        # Both are created when they are needed.
        self._thread: threading.Thread | None = None
        self._end_asked: threading.Event | None = None
        self._also: Callable[[], bool] | None = None

    def also_write(self, write: Callable[[], bool]) -> None:
        """Let the thread call ``write`` once a second too.

        ``write`` returns whether it wrote, and may raise connection errors.
        """
        self._also = write

    def write_later(self) -> None:
        """Start the thread, because there is other data that it should write."""
        with self._guard:
            self._start_thread()

    def write_alone(self) -> None:
        """Write the lines separately from now on, because the other executions of the message do not end soon."""
        with self._guard:
            self._is_shared = False
            if self._is_thread_wanted:
                self._start_thread()

    def add(self, message: object, level: object, fields: Mapping[str, Any]) -> None:
        """Buffer one line for the next flush."""
        try:
            line = make_line(message, level, fields)
        except Exception:  # noqa: BLE001 - logging never fails a job
            line = make_line("a line that could not be converted to text", "warning", {})
        with self._guard:
            if self.buffer is None:
                self.buffer = LogBuffer(*self._origin)
            self.buffer.keep(line)
            self._start_thread()

    def flush_if_due(self) -> None:
        """Write the lines at a safe point if they have waited long enough and no transaction of the job is open."""
        since = self.buffer.waiting_since if self.buffer is not None else 0.0
        if since and time.monotonic() - since >= SAFE_POINT_SECONDS:
            self.flush()

    def flush(self, *, wait_seconds: float = 0.0) -> None:
        """Write the buffered lines with one statement; lines that the database does not accept stay buffered."""
        if self.buffer is not None:
            write_buffers([self.buffer], wait_seconds=wait_seconds)

    def end_thread(self) -> None:
        """End the thread, so that from now on only explicit calls write."""
        self._is_ended = True
        if self._thread is not None and self._end_asked is not None:
            self._end_asked.set()
            self._thread.join(END_SECONDS)

    def end(self) -> None:
        """End the thread and write the remaining lines; shared lines are written later with those of the others."""
        self.end_thread()
        if not self._is_shared:
            self.flush(wait_seconds=END_SECONDS)

    def _start_thread(self) -> None:
        self._is_thread_wanted = True
        if self._thread is not None or self._is_ended or self._is_shared:
            return
        self._end_asked = threading.Event()
        thread = threading.Thread(target=self._write_each_second, args=[self._end_asked], name="job-log", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No thread is available: safe points and the end still write.
            logger.warning("job_log.no_thread", exc_info=True)
        else:
            self._thread = thread

    def _write_each_second(self, end_asked: threading.Event) -> None:
        try:
            # Checked first: a caller that ended the log meanwhile may not have seen this thread.
            while not self._is_ended and not end_asked.wait(FLUSH_SECONDS):
                is_idle = self.buffer is None or not self.buffer.waiting_since
                self.flush(wait_seconds=FLUSH_SECONDS)
                # Afterwards, because it may wait for the job's row.
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


type _Capture = tuple[JobLogWriter, Sequence[str]]

_current: ContextVar[_Capture | None] = ContextVar("job_log", default=None)


class JobLogHandler(logging.Handler):
    """A logging handler that adds a record to the log of the execution in whose context the record is made."""

    def emit(self, record: logging.LogRecord) -> None:
        current = _current.get()
        if current is None or hasattr(record, TAKEN) or not _is_within(record.name, current[1]):
            return
        writer = current[0]
        setattr(record, TAKEN, True)
        try:
            fields = {"logger": record.name}
            if record.exc_info and record.exc_info[1] is not None:
                error = record.exc_info[1]
                fields["error"] = f"{type(error).__name__}: {error}"
            writer.add(record.getMessage(), _level_of(record.levelno), fields)
        except Exception:  # noqa: BLE001 - as in every handler of the standard library
            self.handleError(record)


_handler = JobLogHandler()


@contextmanager
def capturing(kind: type[TaskProcessor], writer: JobLogWriter) -> Iterator[None]:
    """Add the log records of the kind's namespaces to ``writer`` while the block runs the processor."""
    namespaces, loggers = _named_by(kind)
    for each in loggers:
        if _handler not in each.handlers:
            each.addHandler(_handler)
    token = _current.set((writer, namespaces))
    try:
        yield
    finally:
        _current.reset(token)


@cache
def _named_by(kind: type[TaskProcessor]) -> tuple[Sequence[str], Sequence[logging.Logger]]:
    namespaces = namespaces_of(kind)
    return namespaces, [logging.getLogger(name) for name in namespaces]


def namespaces_of(kind: type[TaskProcessor]) -> Sequence[str]:
    """Return the logger namespaces of the kind: those that it declares, or else the package of its class."""
    if kind.log_namespaces is not None:
        return kind.log_namespaces
    package = kind.__module__.rpartition(".")[0]
    return [package or kind.__module__]


def _is_within(name: str, namespaces: Sequence[str]) -> bool:
    # The empty namespace is the root logger's: every record.
    return any(not each or name == each or name.startswith(f"{each}.") for each in namespaces)


def _level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
