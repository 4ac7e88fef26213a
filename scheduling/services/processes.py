"""Dispatchers and beat as rows: who is there, since when, and how far its clock is off."""

from __future__ import annotations

import os
import platform
import time
from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from scheduling.models import ProcessHeartbeat
from tenants.context import all_tenants
from tenants.ids import uuid7

# Rows of processes that ended stay this long, for whoever asks what ran.
KEPT = timedelta(days=1)

_BEAT = """
INSERT INTO scheduling_process_heartbeat (id, role, hostname, pid, started_at, heartbeat_at, clock_skew_seconds)
VALUES (%(id)s, %(role)s, %(hostname)s, %(pid)s, now(), now(), %(clock)s - extract(epoch FROM clock_timestamp()))
ON CONFLICT (id) DO UPDATE SET heartbeat_at = now(), clock_skew_seconds = excluded.clock_skew_seconds
"""
_SKEW = "SELECT %s - extract(epoch FROM clock_timestamp())::float8"


def measure_clock_skew() -> float:
    """How many seconds this machine's clock is ahead of the database's, but for the way there."""
    with connection.cursor() as cursor:
        cursor.execute(_SKEW, [time.time()])
        skew: float = cursor.fetchone()[0]
    return skew


class ProcessPulse:
    """The heartbeat of this process; a new one is a new row."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._id: UUID | None = None

    def beat(self) -> None:
        """Say that the process lives; with its first beat the rows of those long gone go."""
        with all_tenants(), connection.cursor() as cursor:
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
