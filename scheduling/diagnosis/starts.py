"""Whether jobs start: pools in which jobs wait and none begins for a while, beside free slots or without a worker.

What a job waits for by rule is no stall: a tenant that is suspended, paused, at its cap or without worker time is not
counted, and a queue or pool that is paused, drained, at its cap or behind its rate is passed over.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from psycopg.rows import scalar_row

from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

STALLED_AFTER = timedelta(seconds=15)
# An execution that began within that time may have been handed out, and so have its id, as long before.
_HANDED_OUT_BEFORE = timedelta(seconds=15)
KEPT_SECONDS = 2.0
# Rows read of each queue: of the tenants that are picked next, and of the wakes.
_LINES = 5

_STALLED = load_sql(__file__)["find_stalled_pools"]


def find_stalled_pools() -> list[str]:
    """Return the pools in which jobs wait and nothing has begun for STALLED_AFTER.

    Slots are free there, or no worker is online.

    One statement, by indexes, whatever waits. A job that has just become ready again may have an old time: a stall is
    what a second look, a moment later, finds again (:class:`StallWatch`).
    """
    with all_tenants(has_savepoint=False):
        values: dict[str, Any] = {
            "age": STALLED_AFTER,
            "floor": uuid7_floor(read_clock() - STALLED_AFTER - _HANDED_OUT_BEFORE),
            "lines": _LINES,
            "lease_seconds": platform_settings.LEASE_SECONDS,
        }
        with prepared_cursor(scalar_row) as cursor:
            cursor.execute(_STALLED, values)
            return list(cursor.fetchall())


@dataclass
class StallWatch:
    """The stalled pools as this process last found them, asked for again after KEPT_SECONDS."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _look_again_at: float = 0.0
    _found: frozenset[str] = frozenset()
    _stalled: tuple[str, ...] = ()

    def read(self) -> tuple[str, ...]:
        """Return the pools that were stalled at the last look and at the one before it."""
        with self._lock:
            if (now := time.monotonic()) >= self._look_again_at:
                found = frozenset(find_stalled_pools())
                self._stalled = tuple(sorted(found & self._found))
                self._found = found
                self._look_again_at = now + KEPT_SECONDS
            return self._stalled


stall_watch = StallWatch()
