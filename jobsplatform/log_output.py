"""Standard output of a process that does not block when the reader of its pipe has stopped reading.

`jobsplatform` may name its modules after the standard library's, because imports inside it are absolute.
"""

import io
import os
import select
import stat
import sys
import time
from contextlib import suppress
from typing import Any, ClassVar, override

# How long to wait for a full pipe. After that, output is dropped until there is room.
PATIENCE_SECONDS = 1.0


class DroppingPipe(io.RawIOBase):
    """Stream to a pipe that drops what the pipe does not accept in time.

    The pipe is reopened if the kernel allows it, because all processes that inherited the descriptor share its blocking
    mode.
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
        """Write all data, or only a part if the pipe stays full; always return the full length."""
        # A line that was cut by a drop has no line end.
        whole = b"\n" + data if self._is_cut else bytes(data)
        left = memoryview(whole)
        until = time.monotonic() + (0.0 if self.is_stuck else PATIENCE_SECONDS)
        while left:
            if not self._has_room(until):
                DroppingPipe.dropped += 1
                self.is_stuck, self._is_cut = True, self._is_cut or len(left) < len(whole)
                return len(data)
            with suppress(BlockingIOError):  # another process wrote first
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
    """Return a text stream that writes to the same pipe without blocking, or ``stream`` itself if it is not a pipe."""
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
    """Make the standard output and error of this process and its children non-blocking."""
    sys.stdout.flush()
    sys.stdout, sys.stderr = without_blocking(sys.stdout), without_blocking(sys.stderr)
