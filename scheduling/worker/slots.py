"""The slots of a worker in the memory that its processes share: what each child runs, and permits to work.

The fields are aligned machine words, each with a single writer. There are as many permits as slots, and one child works
with each. There are more children than slots. While one child settles what it has done, which needs no permit, another
child already has the next message, and begins as soon as a permit is free.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import IntEnum
from multiprocessing import get_context
from uuid import UUID
from weakref import finalize

from scheduling.conf import MAX_MESSAGE_JOBS

MAX_KIND_BYTES = 64
_ID_BYTES = 16
# The longest wait of a message in a child for its slot; then it is returned to its queue.
PATIENCE_SECONDS = 0.05
# For this long after an announced end, one more message may be fetched.
NEAR_SECONDS = 0.1


class MessageMember(ctypes.Structure):
    """An execution of the message that a child has; ``fence`` is 0 if the database did not start it for this worker."""

    _fields_ = [
        ("execution_id", ctypes.c_uint8 * _ID_BYTES),
        ("fence", ctypes.c_int64),
        ("began_ns", ctypes.c_uint64),
        ("ended_ns", ctypes.c_uint64),
    ]

    @property
    def id_bytes(self) -> bytes:
        return bytes(self.execution_id)

    def read_id(self) -> UUID:
        return UUID(bytes=self.id_bytes)


# The bytes after the id of a member without fence and turn.
_NOT_OURS = bytes(ctypes.sizeof(MessageMember) - _ID_BYTES)


class ChildState(ctypes.Structure):
    """The work of one child: the executions of its message, and the state of the current one."""

    _fields_ = [
        ("generation", ctypes.c_uint64),
        ("pid", ctypes.c_uint64),
        ("hold_id", ctypes.c_uint8 * _ID_BYTES),
        ("has_fences", ctypes.c_uint64),
        ("due_ns", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("message_began_ns", ctypes.c_uint64),
        ("position", ctypes.c_uint64),
        ("fence", ctypes.c_int64),
        ("attempt", ctypes.c_uint64),
        ("crash_count", ctypes.c_uint64),
        ("max_retries", ctypes.c_uint64),
        ("retry_delay_ms", ctypes.c_uint64),
        ("kind", ctypes.c_uint8 * MAX_KIND_BYTES),
        ("began_ns", ctypes.c_uint64),
        ("timeout_ns", ctypes.c_uint64),
        ("memory_limit_kib", ctypes.c_uint64),
        ("cpu_began_us", ctypes.c_uint64),
        ("cancel_for", ctypes.c_uint64),
        ("deadline_for", ctypes.c_uint64),
        ("fence_lost_for", ctypes.c_uint64),
        ("yield_for", ctypes.c_uint64),
        ("task_pid", ctypes.c_uint64),
        ("begun_executions", ctypes.c_uint64),
        ("members", MessageMember * MAX_MESSAGE_JOBS),
    ]

    def assign_members(self, execution_ids: Sequence[UUID]) -> None:
        """Store the executions of a message in order, none of them started."""
        self.position, self.size = 0, len(execution_ids)
        # One move for all of them: field by field it would take a noticeable part of a small job.
        block = b"".join([execution_id.bytes + _NOT_OURS for execution_id in execution_ids])
        ctypes.memmove(self.members, block, min(len(block), ctypes.sizeof(self.members)))


class Header(ctypes.Structure):
    """The state of the worker as a whole."""

    _fields_ = [
        ("is_stopping", ctypes.c_uint64),
        ("canary_sent", ctypes.c_uint64),
        ("canary_answered", ctypes.c_uint64),
        ("canary_answered_ns", ctypes.c_uint64),
    ]


def write_bytes(field: ctypes.Array[ctypes.c_uint8], value: bytes) -> None:
    """Set a field of bytes, padded with zeros."""
    ctypes.memset(field, 0, len(field))
    ctypes.memmove(field, value, len(value))


class SlotPhase(IntEnum):
    """The phase of the message that a child has."""

    NONE = 0
    WORKING = 1
    ENDING = 2
    """The child works, and has announced that it will end soon."""
    SETTLING = 3
    """The child's work is done, and it no longer holds a permit."""


class _Child(ctypes.Structure):
    pid: int
    phase: int
    announced_at_ns: int
    _fields_ = [("pid", ctypes.c_uint64), ("phase", ctypes.c_uint64), ("announced_at_ns", ctypes.c_uint64)]

    @property
    def holds_permit(self) -> bool:
        return self.phase in {SlotPhase.WORKING, SlotPhase.ENDING}

    def lets_fetch(self, now_ns: int) -> bool:
        """Return whether the next message may be fetched beside its own."""
        is_near = self.phase == SlotPhase.ENDING and now_ns - self.announced_at_ns < NEAR_SECONDS * 1e9
        return is_near or self.phase == SlotPhase.SETTLING


class SlotSemaphore:
    """The permits to work of a worker's children, created before the fork.

    Each child writes its own entry in the shared memory, and the parent those of dead children.
    """

    def __init__(self, slots: int, *, spare_children: int = 0) -> None:
        self.slots = slots
        self.children = slots + spare_children
        self._memory = mmap.mmap(-1, self.children * ctypes.sizeof(_Child))
        self._places = (_Child * self.children).from_buffer(self._memory)
        self._free = get_context("fork").Semaphore(slots)
        # The parent sleeps until something can be read; this pipe wakes it when it may fetch.
        self.news, self._news_in = os.pipe()
        for end in (self.news, self._news_in):
            os.set_blocking(end, False)
        finalize(self, _close, self.news, self._news_in)
        self._missing = 0

    # In the child ----------------------------------------------------------------------------------

    def acquire(self, index: int, *, patience_seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait for a permit for the child ``index``; return whether it got one in time."""
        if not self._free.acquire(timeout=patience_seconds):
            self._clear_announced_end()
            return False
        place = self._places[index]
        place.pid, place.phase = os.getpid(), SlotPhase.WORKING
        return True

    def _clear_announced_end(self) -> None:
        """Cancel the announced ends, since the expected one did not come: no further message is fetched for them."""
        for place in self._places:
            if place.phase == SlotPhase.ENDING:
                place.announced_at_ns = 0

    def announce_end(self, index: int) -> None:
        """Record that the child's work will end soon, so that the next message may be fetched."""
        place = self._places[index]
        if place.holds_permit:
            place.announced_at_ns, place.phase = time.monotonic_ns(), SlotPhase.ENDING
            self._tell()

    def release(self, index: int) -> None:
        """Return the child's permit, because its work is done and the settlement needs none."""
        place = self._places[index]
        if place.holds_permit:
            place.phase = SlotPhase.SETTLING
            self._free.release()
            self._tell()

    def finish(self, index: int) -> None:
        """Record that the child has no message any more; return its permit if it still has one."""
        self.release(index)
        self._places[index].phase = SlotPhase.NONE

    def _tell(self) -> None:
        with suppress(BlockingIOError):  # full of unread wake-ups
            os.write(self._news_in, b"!")

    # In the parent ---------------------------------------------------------------------------------

    @property
    def fetchable(self) -> int:
        """Return how many messages the children may have now, including those that they already have."""
        now_ns = time.monotonic_ns()
        return min(self.children, self.slots + sum(place.lets_fetch(now_ns) for place in self._places))

    def drain_notifications(self) -> None:
        """Read and discard the bytes that children wrote to wake the parent."""
        with suppress(BlockingIOError):
            os.read(self.news, mmap.PAGESIZE)

    def reclaim_from_dead(self, is_alive: Callable[[int], bool]) -> None:
        """Take back the permits of children that have died."""
        for place in self._places:
            if place.phase != SlotPhase.NONE and not is_alive(place.pid):
                was_held = place.holds_permit
                place.phase = SlotPhase.NONE
                if was_held:
                    self._free.release()

    def reconcile(self) -> None:
        """Correct the number of free permits; called ten times a second.

        A permit is lost if a child dies between taking and recording it. A difference found by two consecutive calls is
        corrected.
        """
        free = self._free.get_value()
        held = sum(place.holds_permit for place in self._places)
        # If a permit is taken or returned meanwhile, the two numbers do not belong together.
        missing = self.slots - held - free if self._free.get_value() == free else 0
        if missing and missing == self._missing:
            for _ in range(missing):
                self._free.release()
            for _ in range(-missing):
                self._free.acquire(block=False)
            missing = 0
        self._missing = missing


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
