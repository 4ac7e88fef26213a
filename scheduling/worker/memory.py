"""Memory of other processes: its measurement from /proc, and its protection from processes of the account."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from scheduling.sandbox.kernel import set_dumpable
from scheduling.worker.process_state import open_peak_file

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1_024


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
