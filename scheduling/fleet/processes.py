"""Dispatchers and beat as rows: who is there, since when, and how far its clock is off."""

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
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

# Rows of processes that ended stay this long, for whoever asks what ran.
KEPT = timedelta(days=1)

_SQL = load_sql(__file__)
_BEAT = _SQL["heartbeat"]
_SKEW = _SQL["measure_clock_skew"]


def measure_clock_skew() -> float:
    """How many seconds this machine's clock is ahead of the database's, but for the way there."""
    with prepared_cursor(scalar_row) as cursor:
        cursor.execute(_SKEW, {"clock": time.time()})
        skew: float = cursor.fetchone()
    return skew


class ProcessPulse:
    """The heartbeat of this process; a new one is a new row."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._id: UUID | None = None

    def beat(self) -> None:
        """Say that the process lives; with its first beat the rows of those long gone go."""
        with all_tenants(), prepared_cursor() as cursor:
            if self._id is None:
                self._id = uuid7()
                ProcessHeartbeat.objects.filter(heartbeat_at__lt=Now() - KEPT).delete()
            cursor.execute(
                _BEAT,
                {
                    "id": self._id,
                    "role": self._role,
                    "hostname": platform.node()[:200],
                    "pid": os.getpid(),
                    "clock": time.time(),
                },
            )
