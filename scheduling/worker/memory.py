"""Memory of processes: how much one has, from /proc, and closing it to other processes of the account."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

from scheduling.sandbox.kernel import set_dumpable

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1_024
_RESET_PEAK = b"5"

# So long does what was read stand for the next who wants to know.
_FRESH_NS = 1_000_000

# The highest mark when it was last forgotten, of this process.
_forgotten: tuple[int, int] | None = None
# The file that forgets it, of this process: it stays open, since a closed process cannot open it (see `hiding`).
_peak_file: tuple[int, int] | None = None
# When it was last read, and what it was.
_read_at_ns, _read_kib = 0, 0


def reset_peak() -> bool:
    """Let the kernel forget this process's highest mark; whether it did.

    One that has not risen since it was last forgotten stands for what the process has had ever since, and is left: most
    jobs that take a millisecond raise nothing, and three calls are a part of one. What the job before had at its end,
    less than a millisecond ago, need not be asked again.
    """
    global _forgotten  # noqa: PLW0603 - the process's
    is_fresh = time.monotonic_ns() - _read_at_ns < _FRESH_NS
    if _forgotten == (os.getpid(), _read_kib if is_fresh else read_peak_kib()):
        return True
    if not _forget_peak():
        return False
    _forgotten = (os.getpid(), read_peak_kib())
    return True


def open_peak_file() -> int | None:
    """Return the open file by which this process forgets its highest mark, None if it cannot have one."""
    global _peak_file  # noqa: PLW0603 - the process's
    if _peak_file is None or _peak_file[0] != os.getpid():
        try:
            descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
        except OSError:
            return None
        # One that was inherited is the parent's.
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
    """The most resident memory of this process since `reset_peak`, give or take a few pages."""
    global _read_at_ns, _read_kib  # noqa: PLW0603 - the process's
    _read_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _read_at_ns = time.monotonic_ns()
    return _read_kib


def read_resident_kib(pid: int) -> int | None:
    """The resident memory of a process now."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB
    except (OSError, IndexError, ValueError):
        return None


# The launcher of development servers finds its processes by this variable, which it must be able to read.
_LAUNCHED = "JOBSPLATFORM_SERVERS"


def hide_worker() -> None:
    """Close the parent's; its children begin closed too."""
    set_dumpable(is_dumpable=not _is_hidden())


def hide_child(**_: Any) -> None:
    """Open the file by which a new child measures its memory, which a closed process of a plain account cannot."""
    set_dumpable(is_dumpable=True)
    open_peak_file()
    set_dumpable(is_dumpable=not _is_hidden())


def _is_hidden() -> bool:
    # Root reads what is closed.
    return os.geteuid() == 0 or _LAUNCHED not in os.environ
