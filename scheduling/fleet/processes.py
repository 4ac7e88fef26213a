"""Heartbeats of dispatchers, beat and auditors, with the difference of their clocks from the database's."""

from __future__ import annotations

import os
import platform
import time
from datetime import timedelta
from uuid import UUID

from django.db.models.functions import Now
from psycopg.rows import scalar_row

from scheduling.models import ProcessHeartbeat
from tenants.context import all_tenants
from tenants.database.ids import uuid7
from tenants.database.prepared import execute, fetch_one
from tenants.database.sql import load_sql

# Retention of the rows of ended processes.
KEPT = timedelta(days=1)

_SQL = load_sql(__file__)
_BEAT = _SQL["heartbeat"]
_SKEW = _SQL["measure_clock_skew"]


def measure_clock_skew() -> float:
    """Return by how many seconds this machine's clock is ahead of the database's, including the query's latency."""
    skew: float = fetch_one(_SKEW, {"clock": time.time()}, scalar_row)
    return skew


class ProcessPulse:
    """Writer of the heartbeat of this process, which has its own row."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._id: UUID | None = None

    def beat(self) -> None:
        """Write the heartbeat. The first call also deletes rows of processes that ended more than KEPT ago."""
        with all_tenants():
            if self._id is None:
                self._id = uuid7()
                ProcessHeartbeat.objects.filter(heartbeat_at__lt=Now() - KEPT).delete()
            values = {"id": self._id, "role": self._role, "hostname": platform.node()[:200], "pid": os.getpid()}
            execute(_BEAT, {**values, "clock": time.time()})
