"""UUIDv7 ids (RFC 9562): sortable by creation, safe to show, made without asking the database."""

from __future__ import annotations

import os
import threading
import time
import uuid
from datetime import datetime

# RFC 9562 §6.2, method 1: 42 bits of counter after the 48 bits of Unix milliseconds. It starts in its
# lower half at each new millisecond, so that no real burst can overflow it.
_COUNTER_BITS = 42
_COUNTER_SEED_MASK = (1 << (_COUNTER_BITS - 1)) - 1
_COUNTER_MAX = (1 << _COUNTER_BITS) - 1
_TAIL_BITS = 32
_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62


class _Clock:
    """The last millisecond and the counter within it, of one process."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget everything: a forked child must not go on with its parent's counter, nor inherit a held lock."""
        self.lock = threading.Lock()
        self.milliseconds = 0
        self.counter = 0

    def tick(self, seed: int) -> tuple[int, int]:
        """A pair (millisecond, counter) greater than all before it; `seed` begins the counter of a new millisecond."""
        now = time.time_ns() // 1_000_000
        with self.lock:
            if now > self.milliseconds:
                self.milliseconds, self.counter = now, seed
            elif self.counter < _COUNTER_MAX:
                self.counter += 1
            else:
                self.milliseconds, self.counter = self.milliseconds + 1, 0
            return self.milliseconds, self.counter


_clock = _Clock()
os.register_at_fork(after_in_child=_clock.start_afresh)


def uuid7() -> uuid.UUID:
    """A new UUIDv7, greater than every earlier one of this process even when the clock steps back."""
    entropy = int.from_bytes(os.urandom(10))
    milliseconds, counter = _clock.tick((entropy >> _TAIL_BITS) & _COUNTER_SEED_MASK)
    return _assemble(milliseconds, counter, entropy & ((1 << _TAIL_BITS) - 1))


def uuid7_floor(moment: datetime) -> uuid.UUID:
    """The least UUIDv7 of the millisecond of `moment` (aware): the bound of a range over time.

    Moments before 1970, of which there are no ids, have the least bound of all.
    """
    if moment.tzinfo is None:
        raise ValueError("uuid7_floor needs an aware datetime.")
    seconds = int(moment.replace(microsecond=0).timestamp())
    return _assemble(max(0, seconds * 1000 + moment.microsecond // 1000), 0, 0)


def _assemble(milliseconds: int, counter: int, tail: int) -> uuid.UUID:
    high, low = counter >> 30, counter & ((1 << 30) - 1)
    return uuid.UUID(int=(milliseconds << 80) | _VERSION | (high << 64) | _VARIANT | (low << _TAIL_BITS) | tail)
