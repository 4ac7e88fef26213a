"""A circuit breaker for each Redis server, shared by all optional uses of a process: caches, rates, wakes.

A server that does not answer costs one time-out; then no use asks it for OPEN_SECONDS. After that one of them asks, and
the others go on without Redis until it has been answered. What must be known of Redis itself, such as by a probe of the
dispatcher, asks in any case, and an answer closes the breaker.
"""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import Final
from urllib.parse import urlsplit

# For what is worth less than a moment's waiting.
TIMEOUT_SECONDS: Final = 0.1
OPEN_SECONDS: Final = 2.0


class RedisBreaker:
    """The breaker of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # None while it is closed.
        self._ask_again_at: float | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the server answered when it was last asked."""
        return self._ask_again_at is None

    def is_open(self) -> bool:
        """Return whether to go on without Redis. After OPEN_SECONDS one caller gets False: it asks for all."""
        if self._ask_again_at is None:
            return False
        with self._lock:
            now = time.monotonic()
            if self._ask_again_at is None or now < self._ask_again_at:
                return self._ask_again_at is not None
            self._ask_again_at = now + OPEN_SECONDS
            return False

    def note_failure(self) -> None:
        """Open it, or keep it open."""
        self._ask_again_at = time.monotonic() + OPEN_SECONDS

    def note_success(self) -> None:
        """Close it."""
        if self._ask_again_at is not None:
            self._ask_again_at = None


def breaker_of(url: str) -> RedisBreaker:
    """Return the breaker of the server that a URL names, whatever its user and database."""
    return _breaker_of(urlsplit(url).netloc.rpartition("@")[2])


@cache
def _breaker_of(server: str) -> RedisBreaker:
    return RedisBreaker()
