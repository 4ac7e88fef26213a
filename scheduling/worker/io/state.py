"""What a process of coroutines tells the worker's parent in shared memory, so that it is readable while the loop hangs.

Every field is one aligned machine word, and only the process writes it. The parent creates the memory before the fork.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence

from scheduling.worker.child_exit import ExitCause

MAX_LANES = 8
_CAUSES = tuple(ExitCause)


class ProcessState(ctypes.Structure):
    """The state of one process. A seat is stored as its number plus 1; 0 means none.

    ``ticked_ns`` is when the loop last ran its own timer. ``running_seat`` is whose step runs, and since when; the
    parent reads the seat, the time and the seat again. ``abandoned_seat`` and its cause are written by `abandon`.
    ``blocks`` counts steps that blocked the loop, ``longest_block_ns`` is the longest. ``lane_seats`` are the seats
    that have a database connection.
    """

    pid: int
    ticked_ns: int
    running_seat: int
    running_since_ns: int
    abandoned_seat: int
    abandoned_cause: int
    longest_block_ns: int
    blocks: int
    lane_seats: ctypes.Array[ctypes.c_uint64]

    _fields_ = [
        ("pid", ctypes.c_uint64),
        ("ticked_ns", ctypes.c_uint64),
        ("running_seat", ctypes.c_uint64),
        ("running_since_ns", ctypes.c_uint64),
        ("abandoned_seat", ctypes.c_uint64),
        ("abandoned_cause", ctypes.c_uint64),
        ("longest_block_ns", ctypes.c_uint64),
        ("blocks", ctypes.c_uint64),
        ("lane_seats", ctypes.c_uint64 * MAX_LANES),
    ]

    def clear(self) -> None:
        """Set all fields to 0, for the next process."""
        ctypes.memset(ctypes.byref(self), 0, ctypes.sizeof(self))

    def abandon(self, seat: int, cause: ExitCause) -> None:
        """Ask the parent to end this process, because the code of the execution in ``seat`` does not end."""
        if not self.abandoned_seat:
            self.abandoned_cause = _CAUSES.index(cause)
            # Last: the parent reads the cause once there is a seat.
            self.abandoned_seat = seat + 1

    @property
    def abandoned(self) -> tuple[int, ExitCause] | None:
        """Return the seat of the execution that does not end, and why it should have; None if there is none."""
        seat = self.abandoned_seat
        return (seat - 1, _CAUSES[self.abandoned_cause]) if seat else None


def shared_states(processes: int) -> Sequence[ProcessState]:
    """Return the states of so many processes, in memory that is shared with children forked from now on."""
    memory = mmap.mmap(-1, processes * ctypes.sizeof(ProcessState))
    # The structures keep the memory.
    return list((ProcessState * processes).from_buffer(memory))
