"""Where logs go: to standard error, without waiting for a reader that has stopped, and a repeated traceback once.

`jobsplatform` may name its modules after the standard library's: imports here are absolute.
"""

import io
import logging
import os
import select
import stat
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, override

import structlog

# How long a full pipe is waited for. After that what is written is dropped, until there is room again.
PATIENCE_SECONDS = 1.0
# Within it one traceback is written of an exception that comes from one place and is logged at one.
REPEAT_SECONDS = 30.0
# Ids of the context without which a line is about the process itself, and another one like it says nothing more.
_NAMED_BY = ("execution_id", "request_id")


class DroppingPipe(io.RawIOBase):
    """Writes to the pipe of a descriptor, and drops what it does not take in time.

    The pipe is opened again where the kernel allows it: whether a write waits is a property that all who have inherited
    the descriptor would share.
    """

    # Writes of this process, on all its pipes, that were dropped and not logged yet.
    dropped: ClassVar[int] = 0

    def __init__(self, descriptor: int) -> None:
        self._given = descriptor
        self._descriptor = _reopen(descriptor)
        self.is_stuck = self._is_cut = False

    @override
    def writable(self) -> bool:
        return True

    @override
    def fileno(self) -> int:
        return self._given

    @override
    def write(self, data: Any, /) -> int:
        """Write all of it or, where there is no room in time, what there is room for."""
        # What was dropped in the middle of a line has left it without its end.
        whole = b"\n" + data if self._is_cut else bytes(data)
        left = memoryview(whole)
        until = time.monotonic() + (0.0 if self.is_stuck else PATIENCE_SECONDS)
        while left:
            if not self._has_room(until):
                DroppingPipe.dropped += 1
                self.is_stuck, self._is_cut = True, self._is_cut or len(left) < len(whole)
                return len(data)
            with suppress(BlockingIOError):  # another process was first
                left = left[os.write(self._descriptor, left[: select.PIPE_BUF]) :]
        self.is_stuck = self._is_cut = False
        return len(data)

    def _has_room(self, until: float) -> bool:
        watched = select.poll()
        watched.register(self._descriptor, select.POLLOUT)
        return bool(watched.poll(max(0.0, until - time.monotonic()) * 1_000))


def _reopen(descriptor: int) -> int:
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return descriptor


def without_blocking(stream: Any) -> Any:
    """Return a text stream to where ``stream`` leads that waits for no reader; itself where that is no pipe."""
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return stream
    if not is_pipe:
        return stream
    return io.TextIOWrapper(
        DroppingPipe(stream.fileno()),
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )


def print_without_blocking() -> None:
    """Let what this process and its children print wait for no reader either."""
    sys.stdout.flush()
    sys.stdout, sys.stderr = without_blocking(sys.stdout), without_blocking(sys.stderr)


class DroppingHandler(logging.StreamHandler[Any]):
    """Writes to standard error, says how many lines were dropped, and folds tracebacks that repeat."""

    def __init__(self) -> None:
        super().__init__(without_blocking(sys.stderr))
        self._repeats = Repeats()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        for each in self._repeats.fold(record):
            super().emit(each)
        if DroppingPipe.dropped and not self._is_stuck():
            dropped, DroppingPipe.dropped = DroppingPipe.dropped, 0
            super().emit(_event("log.lines_dropped", lines=dropped))
            if self._is_stuck():
                DroppingPipe.dropped += dropped

    def _is_stuck(self) -> bool:
        return bool(getattr(getattr(self.stream, "buffer", None), "is_stuck", False))


class Repeats:
    """Which tracebacks have been written lately, and how many lines with one were left out since."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[object, ...], tuple[float, logging.LogRecord, int]] = {}
        self._next_end = float("inf")

    def fold(self, record: logging.LogRecord) -> list[logging.LogRecord]:
        """Return what is to be written now: what windows that have ended left out, and the record.

        Of a repeated one the traceback is left out; all of it where it names no execution and no request.
        """
        now = self._clock()
        ended = self._end_windows(now) if now >= self._next_end else []
        if not (record.exc_info and record.exc_info[1]):
            return [*ended, record]
        key = _place_of(record)
        if key not in self._windows:
            # Without the traceback, which keeps all that its frames hold.
            self._windows[key] = (now + REPEAT_SECONDS, _without_traceback(record), 0)
            self._next_end = min(self._next_end, now + REPEAT_SECONDS)
            return [*ended, record]
        if structlog.contextvars.get_contextvars().keys() & set(_NAMED_BY):
            return [*ended, _without_traceback(record)]
        until, first, count = self._windows[key]
        self._windows[key] = (until, first, count + 1)
        return ended

    def _end_windows(self, now: float) -> list[logging.LogRecord]:
        ended = [key for key, (until, _, _) in self._windows.items() if now >= until]
        lines = []
        for key in ended:
            _, short, count = self._windows.pop(key)
            if count:
                short.__dict__["repeated"] = count
                lines.append(short)
        self._next_end = min((until for until, _, _ in self._windows.values()), default=float("inf"))
        return lines


def _place_of(record: logging.LogRecord) -> tuple[object, ...]:
    """Return where the exception was raised, and where it was logged."""
    assert record.exc_info
    kind, _, frame = record.exc_info
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    raised_at = None if frame is None else (frame.tb_frame.f_code.co_filename, frame.tb_lineno)
    return record.name, record.pathname, record.lineno, kind, raised_at


def _without_traceback(record: logging.LogRecord) -> logging.LogRecord:
    assert record.exc_info
    short = logging.makeLogRecord(record.__dict__)
    short.exc_info = short.exc_text = None
    short.__dict__["raised"] = "".join(traceback.format_exception_only(*record.exc_info[:2])).strip()
    return short


def _event(message: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
    record.__dict__.update(fields)
    return record
