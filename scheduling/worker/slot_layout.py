"""How the shared memory of a worker's processes is laid out: aligned machine words, each with a single writer."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from uuid import UUID

from scheduling.conf import MAX_MESSAGE_JOBS

MAX_KIND_BYTES = 64
_ID_BYTES = 16


class Member(ctypes.Structure):
    """An execution of the message in a slot. ``fence`` is 0 where the database did not give it to us."""

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


# What follows the id of a member that has no fence and no turn yet.
_NOT_OURS = bytes(ctypes.sizeof(Member) - _ID_BYTES)


class Slot(ctypes.Structure):
    """What a child works on: the message's executions, and the state of the one whose turn it is."""

    _fields_ = [
        ("generation", ctypes.c_uint64),
        ("pid", ctypes.c_uint64),
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
        ("cancel_for", ctypes.c_uint64),
        ("deadline_for", ctypes.c_uint64),
        ("fence_lost_for", ctypes.c_uint64),
        ("yield_for", ctypes.c_uint64),
        ("task_pid", ctypes.c_uint64),
        ("members", Member * MAX_MESSAGE_JOBS),
    ]

    def seat_members(self, execution_ids: Sequence[UUID]) -> None:
        """These are what the message names, in its order; none has been given to us yet."""
        self.position, self.size = 0, len(execution_ids)
        # One move for all of them: field by field this would be a part of a small job.
        block = b"".join([execution_id.bytes + _NOT_OURS for execution_id in execution_ids])
        ctypes.memmove(self.members, block, min(len(block), ctypes.sizeof(self.members)))


class Header(ctypes.Structure):
    """What concerns the worker as a whole."""

    _fields_ = [
        ("is_stopping", ctypes.c_uint64),
        ("canary_sent", ctypes.c_uint64),
        ("canary_answered", ctypes.c_uint64),
        ("canary_answered_ns", ctypes.c_uint64),
    ]


def write_bytes(field: ctypes.Array[ctypes.c_uint8], value: bytes) -> None:
    """Set a field of bytes, and what is left of it to zero."""
    ctypes.memset(field, 0, len(field))
    ctypes.memmove(field, value, len(value))
