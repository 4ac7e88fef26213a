"""A process-local cache that is bounded in entries and age. Permissions must be checked before each read."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable


class BoundedCache[Key: Hashable, Value]:
    """A thread-safe least-recently-used cache of at most ``most`` entries, each of which expires after ``seconds``.

    All readers get the same object, so they must not change it.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._entries: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """Return the value stored under ``key``; None if there is none or it has expired."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            expires_at, value = entry
            if time.monotonic() >= expires_at:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return value

    def put(self, key: Key, value: Value) -> None:
        """Store ``value``. If the cache then has too many entries, the least recently used ones are removed."""
        with self._lock:
            self._entries[key] = (time.monotonic() + self._seconds, value)
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        """Remove every entry."""
        with self._lock:
            self._entries.clear()
