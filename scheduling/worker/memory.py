"""Measurement of a process's memory from /proc, and protection of it from other processes of the same user."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

from scheduling.sandbox.kernel import set_dumpable

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1_024
_RESET_PEAK = b"5"

# A reading stays valid for this long.
_FRESH_NS = 1_000_000

# The peak when it was last reset, by process id.
_forgotten: tuple[int, int] | None = None
# The file that resets it, by process id: it stays open, since a non-dumpable process cannot open it (see `hiding`).
_peak_file: tuple[int, int] | None = None
# The time and value of the last reading.
_read_at_ns, _read_kib = 0, 0


def reset_peak() -> bool:
    """Reset the kernel's peak memory of this process; return whether that succeeded.

    If the peak has not risen since the last reset, nothing is done: it is then the peak since that reset. Most short
    jobs do not raise it, and three system calls would be a noticeable part of a job of one millisecond. For the same
    reason a reading made less than a millisecond ago, at the end of the previous job, is reused.
    """
    global _forgotten  # noqa: PLW0603 - state of the process
    is_fresh = time.monotonic_ns() - _read_at_ns < _FRESH_NS
    if _forgotten == (os.getpid(), _read_kib if is_fresh else read_peak_kib()):
        return True
    if not _forget_peak():
        return False
    _forgotten = (os.getpid(), read_peak_kib())
    return True


def open_peak_file() -> int | None:
    """Open the file that resets this process's peak memory, once, and return its descriptor; None if that fails."""
    global _peak_file  # noqa: PLW0603 - state of the process
    if _peak_file is None or _peak_file[0] != os.getpid():
        try:
            descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
        except OSError:
            return None
        # An inherited one is the parent's.
        if _peak_file is not None:
            os.close(_peak_file[1])
        _peak_file = (os.getpid(), descriptor)
    return _peak_file[1]


def _forget_peak() -> bool:
    descriptor = open_peak_file()
    try:
        return descriptor is not None and os.write(descriptor, _RESET_PEAK) == len(_RESET_PEAK)
    except OSError:
        return False


def read_peak_kib() -> int:
    """Return the peak resident memory of this process in KiB since `reset_peak`, accurate to a few pages."""
    global _read_at_ns, _read_kib  # noqa: PLW0603 - state of the process
    _read_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _read_at_ns = time.monotonic_ns()
    return _read_kib


def read_resident_kib(pid: int) -> int | None:
    """Return the current resident memory of a process in KiB; None if unknown."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB
    except (OSError, IndexError, ValueError):
        return None


# The launcher of development servers finds its processes by this variable, which it must be able to read.
_LAUNCHED = "JOBSPLATFORM_SERVERS"


def hide_worker() -> None:
    """Make the worker's parent process non-dumpable, so that others cannot read its memory; children inherit it."""
    set_dumpable(is_dumpable=not _is_hidden())


def hide_child(**_: Any) -> None:
    """Open the file that resets a new child's peak memory; without privileges a non-dumpable process cannot."""
    set_dumpable(is_dumpable=True)
    open_peak_file()
    set_dumpable(is_dumpable=not _is_hidden())


def _is_hidden() -> bool:
    # Root can read non-dumpable processes.
    return os.geteuid() == 0 or _LAUNCHED not in os.environ
