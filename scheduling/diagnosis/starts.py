"""Detection of stalled pools, in which jobs wait and none starts although slots are free, or for lack of a worker.

Jobs that must wait by a rule are not stalled: a tenant that is suspended, paused, at its cap or out of worker time does
not count, and a queue or pool that is paused, draining, at its cap or above its rate is skipped.
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
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

STALLED_AFTER = timedelta(seconds=15)
# An execution that started within that time may have been dispatched, which dates its id, this much earlier.
_HANDED_OUT_BEFORE = timedelta(seconds=15)
KEPT_SECONDS = 2.0
# Rows read of each queue: lines that are picked next, and wakes.
_LINES = 5

_STALLED = load_sql(__file__)["find_stalled_pools"]


def find_stalled_pools() -> list[str]:
    """Return the names of pools in which ready jobs wait, none has started for STALLED_AFTER, and slots are free.

    A pool without an online worker is returned too. One query reads a few index entries, however long the backlog is. A
    job that has just become ready again may have an old time, so only a stall found twice counts (:class:`StallWatch`).
    """
    with all_tenants(has_savepoint=False):
        values: dict[str, Any] = {
            "age": STALLED_AFTER,
            "floor": uuid7_floor(read_clock() - STALLED_AFTER - _HANDED_OUT_BEFORE),
            "lines": _LINES,
            "lease_seconds": platform_settings.LEASE_SECONDS,
        }
        return fetch_all(_STALLED, values, scalar_row)


@dataclass
class StallWatch:
    """This process's cache of the stalled pools; it is renewed when it is older than KEPT_SECONDS."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _look_again_at: float = 0.0
    _found: frozenset[str] = frozenset()
    _stalled: tuple[str, ...] = ()

    def read(self) -> tuple[str, ...]:
        """Return the pools that were stalled in both of the last two queries."""
        with self._lock:
            if (now := time.monotonic()) >= self._look_again_at:
                found = frozenset(find_stalled_pools())
                self._stalled = tuple(sorted(found & self._found))
                self._found = found
                self._look_again_at = now + KEPT_SECONDS
            return self._stalled


stall_watch = StallWatch()
