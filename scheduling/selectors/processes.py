"""Who lives: workers, dispatchers and beat, by their heartbeats and the database's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import QuerySet
from django.db.models.functions import Now
from psycopg.rows import class_row

from scheduling.conf import lease_seconds
from scheduling.models import ProcessHeartbeat, Worker
from scheduling.selectors.raw import fetch_rows
from tenants.context import require_scope
from tenants.database.sql import load_sql

WORKER_ROLE = "worker"
# A Celery process that was given the platform's messages and is none of its workers.
FOREIGN_ROLE = "foreign"
# How long after its last message a process that is not the platform's is an alarm.
FOREIGN_ALARM = timedelta(minutes=5)
ROLES = (WORKER_ROLE, *ProcessHeartbeat.Role.values)

_SQL = load_sql(__file__)
_POOLS, _PROCESSES = _SQL["read_pools"], _SQL["read_processes"]


@dataclass(frozen=True, slots=True)
class LivePool:
    """A pool with what its live workers offer; the canary is that of the worker which answered longest ago."""

    name: str
    queues: list[str]
    workers: int
    slots: int
    oldest_canary_seconds: float | None
    worst_skew_seconds: float | None


@dataclass(frozen=True, slots=True)
class Liveness:
    """Pools, and how long ago the youngest process of each role was heard of."""

    pools: list[LivePool]
    process_ages: Mapping[str, float]
    worst_skew_seconds: float | None


def read_liveness() -> Liveness:
    """Two statements over small tables."""
    values = {"lease": lease_seconds()}
    pools = fetch_rows(_POOLS, values, row_factory=class_row(LivePool))
    processes = fetch_rows(_PROCESSES, values)
    ages = {row.role: row.age for row in processes}
    told = [*(row.skew for row in processes), *(pool.worst_skew_seconds for pool in pools)]
    skews = [skew for skew in told if skew is not None]
    return Liveness(pools, ages, max(skews, key=abs, default=None))


def live_workers() -> QuerySet[Worker]:
    """Workers that were heard of within the lease, those that drain among them."""
    since = Now() - timedelta(seconds=lease_seconds())
    return Worker.objects.exclude(status=Worker.Status.STOPPED).filter(heartbeat_at__gt=since)


def find_foreign_process() -> str:
    """Return the host and process id of a Celery process that was given the platform's messages lately; else empty."""
    require_scope()
    since = Now() - FOREIGN_ALARM
    row = ProcessHeartbeat.objects.filter(role=FOREIGN_ROLE, heartbeat_at__gt=since).first()
    return "" if row is None else f"{row.hostname}:{row.pid}"
