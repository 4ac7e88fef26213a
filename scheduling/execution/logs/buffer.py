"""Buffers of log lines that are not written yet, and the statement that writes those of several executions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling import signals
from scheduling.execution.logs.lines import make_line
from scheduling.execution.logs.service import Level, LogLine, LogRoom, LogWrite, append_job_logs, append_job_logs_here
from scheduling.worker.process_state import CONNECTION_ERRORS
from tenants.encryption.fields import is_sealing

logger = logging.getLogger(__name__)

# The most lines between two writes: bounds a job's rate, and what an outage may pile up.
MAX_BUFFERED_LINES = 1_000


@dataclass(frozen=True, slots=True)
class DrainedLines:
    """Lines taken from a buffer to be written.

    ``overflow`` counts lines that did not fit into the buffer, ``dropped`` those that do not fit into the log;
    ``since`` is when the first line was buffered.
    """

    lines: Sequence[LogLine]
    overflow: int
    dropped: int
    since: float


class LogBuffer:
    """The log lines of one execution that are not written yet.

    ``room`` is the log's room after the last write, None before the first. ``waiting_since`` is the monotonic time of
    the first unwritten line, 0.0 without lines. The thread that writes the lines holds the lock ``writing``.
    """

    def __init__(
        self, tenant_id: UUID, job_id: UUID, execution_id: UUID, attempt: int, facts: Mapping[str, str | None] | None
    ) -> None:
        self._facts = facts or {}
        self._ids: dict[str, Any] = {
            "tenant_id": tenant_id,
            "job_id": job_id,
            "execution_id": execution_id,
            "attempt": attempt,
        }
        self.room: LogRoom | None = None
        self.waiting_since = 0.0
        self.writing = threading.Lock()
        self._guard = threading.Lock()
        self._lines: list[LogLine] = []
        self._overflow = 0
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._lines)

    def keep(self, line: LogLine) -> None:
        """Add a line for the next write, or count it as dropped if the buffer or the log is full."""
        full = self.room if self.room is not None and self.room.is_full else None
        # A full log only counts. Until then the statement decides which levels are kept at the moment.
        if full is not None and line.level < full.level:
            return
        with self._guard:
            self.waiting_since = self.waiting_since or time.monotonic()
            if full is not None:
                self._dropped += 1
            elif len(self._lines) >= MAX_BUFFERED_LINES:
                self._overflow += 1
            else:
                self._lines.append(line)

    def take(self) -> DrainedLines:
        """Remove and return all buffered lines."""
        with self._guard:
            taken = DrainedLines(self._lines, self._overflow, self._dropped, self.waiting_since)
            self._lines, self._overflow, self._dropped, self.waiting_since = [], 0, 0, 0.0
        return taken

    def give_back(self, taken: DrainedLines) -> None:
        """Put lines back whose write failed, before the lines that were buffered since."""
        with self._guard:
            kept = [*taken.lines, *self._lines]
            self._lines = kept[:MAX_BUFFERED_LINES]
            self._overflow += taken.overflow + len(kept) - len(self._lines)
            self._dropped += taken.dropped
            self.waiting_since = taken.since or self.waiting_since

    def note_written(self, write: LogWrite, room: LogRoom) -> None:
        """Remember the log's room after a write, and send its lines to observers unless values are sealed."""
        self.room = room
        if signals.job_lines_written.has_listeners() and not is_sealing():
            lines = [line for line in write.lines if line.level >= room.level]
            signals.job_lines_written.send_robust(None, lines=lines, facts={**self._facts, **self._ids})

    def as_write(self, taken: DrainedLines) -> LogWrite:
        """Return the taken lines as parameters of a write, with an added line about overflow if there was any."""
        lines = [*taken.lines, _overflow_line(taken.overflow)] if taken.overflow else taken.lines
        return LogWrite(lines=lines, dropped=taken.dropped, **self._ids)


def write_buffers(buffers: Sequence[LogBuffer], *, wait_seconds: float = 0.0) -> None:
    """Write all buffered lines with one statement; do nothing inside a transaction, and never raise.

    Skip buffers that another thread is writing for longer than ``wait_seconds``. Lines that the database does not
    accept now stay in the buffers, up to MAX_BUFFERED_LINES.
    """
    if connection.in_atomic_block:
        return
    held = _held(buffers, wait_seconds)
    try:
        if held:
            _write(held)
    finally:
        _let_go(held)


@contextmanager
def drained(buffers: Sequence[LogBuffer], *, wait_seconds: float) -> Iterator[Callable[[], None] | None]:
    """Take all buffered lines, and yield a function that writes them in the caller's transaction; None without lines.

    If the block fails, the lines return to the buffers. Buffers that another thread writes are skipped, as in
    `write_buffers`.
    """
    held = _held(buffers, wait_seconds)
    parts = [one.take() for one in held]
    writes = [one.as_write(part) for one, part in zip(held, parts, strict=True)]
    rooms: list[LogRoom] = []

    def write() -> None:
        rooms[:] = append_job_logs_here(writes)

    try:
        yield write if held else None
    except BaseException:
        for one, part in zip(held, parts, strict=True):
            one.give_back(part)
        raise
    else:
        for one, written, room in zip(held, writes, rooms, strict=bool(rooms)):
            one.note_written(written, room)
    finally:
        _let_go(held)


def _held(buffers: Sequence[LogBuffer], wait_seconds: float) -> list[LogBuffer]:
    return [one for one in buffers if one.waiting_since and one.writing.acquire(timeout=wait_seconds)]


def _let_go(held: Sequence[LogBuffer]) -> None:
    for one in held:
        one.writing.release()


def _write(buffers: Sequence[LogBuffer]) -> None:
    parts = [one.take() for one in buffers]
    writes = [one.as_write(part) for one, part in zip(buffers, parts, strict=True)]
    try:
        rooms = append_job_logs(writes)
    except CONNECTION_ERRORS:
        connection.close()
        for one, part in zip(buffers, parts, strict=True):
            one.give_back(part)
    except Exception:
        if len(buffers) == 1:
            logger.exception("job_log.not_written", extra={"lines": len(parts[0].lines)})
            return
        # One buffer spoils the statement for the others.
        for one, part in zip(buffers, parts, strict=True):
            one.give_back(part)
            _write([one])
    else:
        for one, written, room in zip(buffers, writes, rooms, strict=True):
            one.note_written(written, room)


def _overflow_line(count: int) -> LogLine:
    """Return the line that stands for the lines that exceeded the buffer."""
    message = f"{count:,} lines dropped: the job logged faster than they could be written"
    line = make_line(message, "warning", {})
    return LogLine(line.id, Level.WARNING, line.message, line.fields, line.at)
