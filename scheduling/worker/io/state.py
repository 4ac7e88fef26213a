"""What a process of coroutines tells the worker's parent in shared memory, so that it is readable while the loop hangs.

Every field is one aligned machine word, and only the process writes it. The parent creates the memory before the fork.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Mapping, Sequence

from scheduling.worker.child_exit import ExitCause

MAX_LANES = 8
# More are named in the next process.
MOST_ABANDONED = 256
_CAUSES = tuple(ExitCause)


class ProcessState(ctypes.Structure):
    """The state of one process. A seat is stored as its number plus 1; 0 means none.

    ``ticked_ns`` is when the loop last ran its own timer. ``running_seat`` is whose step runs, and since when; the
    parent reads the seat, the time and the seat again. `abandon` writes the abandoned seats and their causes.
    ``blocks`` counts steps that blocked the loop, ``longest_block_ns`` is the longest. ``lane_seats`` are the seats
    that have a database connection.
    """

    pid: int
    ticked_ns: int
    running_seat: int
    running_since_ns: int
    abandoned_count: int
    abandoned_seats: ctypes.Array[ctypes.c_uint64]
    abandoned_causes: ctypes.Array[ctypes.c_uint64]
    longest_block_ns: int
    blocks: int
    lane_seats: ctypes.Array[ctypes.c_uint64]

    _fields_ = [
        ("pid", ctypes.c_uint64),
        ("ticked_ns", ctypes.c_uint64),
        ("running_seat", ctypes.c_uint64),
        ("running_since_ns", ctypes.c_uint64),
        ("abandoned_count", ctypes.c_uint64),
        ("abandoned_seats", ctypes.c_uint64 * MOST_ABANDONED),
        ("abandoned_causes", ctypes.c_uint64 * MOST_ABANDONED),
        ("longest_block_ns", ctypes.c_uint64),
        ("blocks", ctypes.c_uint64),
        ("lane_seats", ctypes.c_uint64 * MAX_LANES),
    ]

    def clear(self) -> None:
        """Set all fields to 0, for the next process."""
        ctypes.memset(ctypes.byref(self), 0, ctypes.sizeof(self))

    def abandon(self, seat: int, cause: ExitCause) -> None:
        """Ask the parent to end this process, because the code of the execution in ``seat`` does not end.

        Only MOST_ABANDONED are named.
        """
        count = self.abandoned_count
        if count < MOST_ABANDONED and seat not in self.abandoned:
            self.abandoned_seats[count], self.abandoned_causes[count] = seat, _CAUSES.index(cause)
            # Last: the parent reads what is counted.
            self.abandoned_count = count + 1

    @property
    def abandoned(self) -> Mapping[int, ExitCause]:
        """Return why each execution that does not end should have, by seat, in the order in which they were found."""
        count = self.abandoned_count
        causes = [_CAUSES[cause] for cause in self.abandoned_causes[:count]]
        return dict(zip(self.abandoned_seats[:count], causes, strict=True))


def shared_states(processes: int) -> Sequence[ProcessState]:
    """Return the states of so many processes, in memory that is shared with children forked from now on."""
    memory = mmap.mmap(-1, processes * ctypes.sizeof(ProcessState))
    # The structures keep the memory.
    return list((ProcessState * processes).from_buffer(memory))
