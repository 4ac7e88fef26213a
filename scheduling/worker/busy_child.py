"""A child with a message, as its parent reads it from the shared memory."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

_NO_HOLD = UUID(int=0)


@dataclass(frozen=True, slots=True)
class PendingMember:
    """An execution of a message in work, with the time from the message's start to its own, and its slot time.

    ``began_us`` is None if it has not begun.
    """

    execution_id: UUID
    fence: int
    began_us: int | None = None
    measured_us: int = 0


@dataclass(frozen=True, slots=True)
class BusyChild:
    """A child with a message, as the parent reads it from shared memory; times are of CLOCK_MONOTONIC.

    ``execution_id`` and the fields after it are of the current execution. ``fence`` and ``timeout_ns`` are 0 until it
    has begun in the database. ``memory_limit_kib`` 0: no limit. ``cpu_began_us`` is the
    processor time of the process at its begin. ``size`` is the number of executions in the message;
    ``waited_us`` is the time before its work began.

    ``hold_id`` is that of the message's executions in the database. Without ``has_fences`` only the database has their
    state: the message is a list, or the child had no answer yet. The waiting executions of a list must be returned at
    ``due_ns``; 0: they need not.
    """

    index: int
    generation: int
    pid: int
    execution_id: UUID
    fence: int
    attempt: int
    crash_count: int
    max_retries: int
    kind: str
    began_ns: int
    timeout_ns: int
    retry_delay_seconds: float = 0.0
    memory_limit_kib: int = 0
    cpu_began_us: int = 0
    size: int = 1
    waited_us: int = 0
    hold_id: UUID = _NO_HOLD
    has_fences: bool = True
    due_ns: int = 0

    @property
    def is_merged(self) -> bool:
        """Return whether the message has several executions."""
        return self.size > 1

    @property
    def has_begun(self) -> bool:
        """Return whether the current execution has begun in the database."""
        return self.fence > 0

    def is_overdue(self, now_ns: int) -> bool:
        """Return whether the current execution of a list takes so long that the waiting ones must be returned."""
        return 0 < self.due_ns < now_ns
