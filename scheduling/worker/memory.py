"""How much memory a process has: read from /proc, so on Linux alone; elsewhere nobody knows."""

from __future__ import annotations

import os
from pathlib import Path

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1_024
_RESET_PEAK = "5"


def reset_peak() -> bool:
    """Let the kernel forget this process's highest mark; whether it did."""
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def read_peak_kib() -> int | None:
    """The most resident memory of this process since `reset_peak`."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return None


def read_resident_kib(pid: int) -> int | None:
    """The resident memory of a process now."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB
    except (OSError, IndexError, ValueError):
        return None
