"""The lines of an execution that are not stored yet, bounded, and their way into the database: several in one write."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.execution.logs.lines import make_line
from scheduling.execution.logs.service import Level, LogLine, LogRoom, LogWrite, append_job_logs, append_job_logs_here
from scheduling.worker.connections import CONNECTION_ERRORS

logger = logging.getLogger(__name__)

# Lines kept between two writes: the greatest rate of a job, and what an outage may pile up.
MAX_BUFFERED_LINES = 1_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of a buffer to be written: ``overflow`` lines found it full, ``dropped`` ones the log."""

    lines: Sequence[LogLine]
    overflow: int
    dropped: int
    since: float


class LogBuffer:
    """One execution's. ``room`` is what its log took when it was last written, None before that.

    ``waiting_since`` is the time by the monotonic clock at which its first line came, 0.0 where there is none. Who
    writes it holds ``writing``.
    """

    def __init__(self, tenant_id: UUID, job_id: UUID, execution_id: UUID, attempt: int) -> None:
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
        """Keep it for the next write, or count it where there is no room for it."""
        full = self.room if self.room is not None and self.room.is_full else None
        # A full log only counts; until then the statement knows best which levels are kept at the moment.
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

    def take(self) -> Taken:
        """All of it."""
        with self._guard:
            taken = Taken(self._lines, self._overflow, self._dropped, self.waiting_since)
            self._lines, self._overflow, self._dropped, self.waiting_since = [], 0, 0, 0.0
        return taken

    def give_back(self, taken: Taken) -> None:
        """It was not written: it comes before what has come meanwhile."""
        with self._guard:
            kept = [*taken.lines, *self._lines]
            self._lines = kept[:MAX_BUFFERED_LINES]
            self._overflow += taken.overflow + len(kept) - len(self._lines)
            self._dropped += taken.dropped
            self.waiting_since = taken.since or self.waiting_since

    def as_write(self, taken: Taken) -> LogWrite:
        """What is told to the database."""
        lines = [*taken.lines, _overflow_line(taken.overflow)] if taken.overflow else taken.lines
        return LogWrite(lines=lines, dropped=taken.dropped, **self._ids)


def write_buffers(buffers: Sequence[LogBuffer], *, wait_seconds: float = 0.0) -> None:
    """Write what is there of all with one statement, unless a transaction is open. Never raises.

    What somebody else writes for longer than ``wait_seconds`` is left to them, and what the database does not take now
    is kept, up to the bound.
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
def taken(buffers: Sequence[LogBuffer], *, wait_seconds: float) -> Iterator[Callable[[], None] | None]:
    """For a transaction of the caller's own: what writes there all that there is; None where there is nothing.

    It is in the buffers again where the block fails. What somebody else writes is left to them, as in `write_buffers`.
    """
    held = _held(buffers, wait_seconds)
    parts = [one.take() for one in held]
    rooms: list[LogRoom] = []

    def write() -> None:
        rooms[:] = append_job_logs_here([one.as_write(part) for one, part in zip(held, parts, strict=True)])

    try:
        yield write if held else None
    except BaseException:
        for one, part in zip(held, parts, strict=True):
            one.give_back(part)
        raise
    else:
        for one, room in zip(held, rooms, strict=bool(rooms)):
            one.room = room
    finally:
        _let_go(held)


def _held(buffers: Sequence[LogBuffer], wait_seconds: float) -> list[LogBuffer]:
    return [one for one in buffers if one.waiting_since and one.writing.acquire(timeout=wait_seconds)]


def _let_go(held: Sequence[LogBuffer]) -> None:
    for one in held:
        one.writing.release()


def _write(buffers: Sequence[LogBuffer]) -> None:
    parts = [one.take() for one in buffers]
    try:
        rooms = append_job_logs([one.as_write(part) for one, part in zip(buffers, parts, strict=True)])
    except CONNECTION_ERRORS:
        connection.close()
        for one, part in zip(buffers, parts, strict=True):
            one.give_back(part)
    except Exception:
        if len(buffers) == 1:
            logger.exception("job_log.not_written", extra={"lines": len(parts[0].lines)})
            return
        # One of them spoils it for the others.
        for one, part in zip(buffers, parts, strict=True):
            one.give_back(part)
            _write([one])
    else:
        for one, room in zip(buffers, rooms, strict=True):
            one.room = room


def _overflow_line(count: int) -> LogLine:
    """What stands for lines that found the buffer full."""
    message = f"{count:,} lines dropped: they came faster than they could be written"
    line = make_line(message, "warning", {})
    return LogLine(line.id, Level.WARNING, line.message, line.fields, line.at)
