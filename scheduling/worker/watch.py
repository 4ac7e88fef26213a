"""What the parent decides about the jobs of its children, from the control block and the kernel alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from scheduling.worker.control_block import Cause, HeldSlot

# A child that ignores a request to stop for this long is killed.
STOP_GRACE_SECONDS = 30.0
_DEAD_STATES = {"Z", "X"}


class Finding(StrEnum):
    """Why the parent ends an execution itself."""

    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    OVER_MEMORY = "over_memory"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SHUT_DOWN = "shut_down"
    SUPERSEDED = "superseded"


_AFTER_GRACE = {
    Cause.CANCEL: Finding.CANCELLED,
    Cause.DEADLINE: Finding.EXPIRED,
    Cause.FENCE_LOST: Finding.SUPERSEDED,
}


def find(
    held: HeldSlot,
    *,
    now_ns: int,
    is_alive: bool,
    is_stopping: bool,
    asked_at_ns: Mapping[Cause, int],
    resident_kib: int | None = None,
) -> Finding | None:
    """Why this execution must be ended now; None while it may go on.

    ``asked_at_ns`` says since when its child has been asked to stop, by cause; ``resident_kib`` how much memory
    the child has, where that is known.
    """
    if not is_alive:
        # While the worker stops, Celery ends children that are still busy: no fault of their jobs.
        return Finding.SHUT_DOWN if is_stopping else Finding.CRASHED
    if held.timeout_ns and now_ns - held.began_ns > held.timeout_ns:
        return Finding.TIMED_OUT
    if held.memory_limit_kib and (resident_kib or 0) > held.memory_limit_kib:
        return Finding.OVER_MEMORY
    for cause, since_ns in asked_at_ns.items():
        if now_ns - since_ns > STOP_GRACE_SECONDS * 1_000_000_000:
            return _AFTER_GRACE[cause]
    return None


def is_child_alive(pid: int) -> bool:
    """Whether ``pid`` is a living child of this process; a zombie is dead, though its pid still answers."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # pid (command, which may hold spaces and brackets) state parent …
    state, parent = stat.rpartition(")")[2].split()[:2]
    return state not in _DEAD_STATES and int(parent) == os.getpid()
