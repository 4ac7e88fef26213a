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

_lock = threading.Lock()
_last_milliseconds = 0
_counter = 0


def uuid7() -> uuid.UUID:
    """A new UUIDv7, greater than every earlier one of this process even when the clock steps back."""
    global _last_milliseconds, _counter
    entropy = int.from_bytes(os.urandom(10))
    tail = entropy & ((1 << _TAIL_BITS) - 1)
    with _lock:
        now = time.time_ns() // 1_000_000
        if now > _last_milliseconds:
            _last_milliseconds, _counter = now, (entropy >> _TAIL_BITS) & _COUNTER_SEED_MASK
        elif _counter < _COUNTER_MAX:
            _counter += 1
        else:
            _last_milliseconds, _counter = _last_milliseconds + 1, 0
        milliseconds, counter = _last_milliseconds, _counter
    return _assemble(milliseconds, counter, tail)


def uuid7_floor(moment: datetime) -> uuid.UUID:
    """The least UUIDv7 of the millisecond of `moment` (aware): the bound of a range over time."""
    if moment.tzinfo is None:
        raise ValueError("uuid7_floor needs an aware datetime.")
    seconds = int(moment.replace(microsecond=0).timestamp())
    return _assemble(seconds * 1000 + moment.microsecond // 1000, 0, 0)


def _assemble(milliseconds: int, counter: int, tail: int) -> uuid.UUID:
    high, low = counter >> 30, counter & ((1 << 30) - 1)
    return uuid.UUID(int=(milliseconds << 80) | _VERSION | (high << 64) | _VARIANT | (low << _TAIL_BITS) | tail)


def _forget_counter() -> None:
    # A forked child must not go on with its parent's counter, nor inherit a lock held at the fork.
    global _lock, _last_milliseconds, _counter
    _lock, _last_milliseconds, _counter = threading.Lock(), 0, 0


os.register_at_fork(after_in_child=_forget_counter)
