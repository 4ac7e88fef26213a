"""UUIDv7 ids (RFC 9562): they sort by time of creation, reveal no count, and are generated without the database."""

from __future__ import annotations

import os
import struct
import threading
import time
import uuid
from datetime import datetime

# RFC 9562 §6.2, method 1: 42 bits of counter after the 48 bits of Unix milliseconds. It starts in its lower half at
# each new millisecond, so that no real burst can overflow it.
_COUNTER_BITS = 42
_COUNTER_SEED_MASK = (1 << (_COUNTER_BITS - 1)) - 1
_COUNTER_MAX = (1 << _COUNTER_BITS) - 1
_TAIL_BITS = 32
_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62


class IdCounter:
    """The millisecond and the counter of the last id, of one process."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        """Reset all state: a forked child must not continue its parent's counter, nor inherit a held lock."""
        self.lock = threading.Lock()
        self.milliseconds = 0
        self.counter = 0

    def take(self, count: int, seed: int) -> tuple[int, int]:
        """Return the first of `count` consecutive pairs (millisecond, counter), greater than all earlier ones.

        `seed` starts the counter of a new millisecond.
        """
        now = time.time_ns() // 1_000_000
        with self.lock:
            if now > self.milliseconds:
                self.milliseconds, first = now, seed
            elif self.counter + count <= _COUNTER_MAX:
                first = self.counter + 1
            else:
                self.milliseconds, first = self.milliseconds + 1, 0
            self.counter = first + count - 1
            return self.milliseconds, first


_ids = IdCounter()
os.register_at_fork(after_in_child=_ids.start_afresh)


def uuid7() -> uuid.UUID:
    """Return a new UUIDv7, greater than every earlier one of this process, even if the clock was set back."""
    return uuid7s(1)[0]


def id_of(value: object) -> uuid.UUID | None:
    """Return the UUID that a value from outside names, None if it names none."""
    try:
        return uuid.UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def uuid7s(count: int) -> list[uuid.UUID]:
    """Return `count` new UUIDv7s in ascending order."""
    seed, *tails = struct.unpack(f">Q{count}I", os.urandom(8 + 4 * count))
    milliseconds, first = _ids.take(count, seed & _COUNTER_SEED_MASK)
    return [_assemble(milliseconds, first + place, tail) for place, tail in enumerate(tails)]


def uuid7_after(earlier: uuid.UUID) -> uuid.UUID:
    """Return a new UUIDv7 that is greater than `earlier`, even if that is of a process whose clock is ahead."""
    made = uuid7()
    return made if made > earlier else uuid.UUID(int=((earlier.int >> 80) + 1 << 80) | made.int & (1 << 80) - 1)


def uuid7_floor(moment: datetime) -> uuid.UUID:
    """Return the least UUIDv7 of the millisecond of `moment`, as the bound of a range of ids by time.

    For a time before 1970 return the least UUIDv7 of all. Raise ValueError if `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("uuid7_floor needs an aware datetime.")
    seconds = int(moment.replace(microsecond=0).timestamp())
    return _assemble(max(0, seconds * 1000 + moment.microsecond // 1000), 0, 0)


def _assemble(milliseconds: int, counter: int, tail: int) -> uuid.UUID:
    high, low = counter >> 30, counter & ((1 << 30) - 1)
    return uuid.UUID(int=(milliseconds << 80) | _VERSION | (high << 64) | _VARIANT | (low << _TAIL_BITS) | tail)
