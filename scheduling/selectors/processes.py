"""Who lives: workers, dispatchers and beat, by their heartbeats and the database's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from scheduling.conf import lease_seconds
from scheduling.models import ProcessHeartbeat, Worker
from tenants.context import require_scope

WORKER_ROLE = "worker"
# A Celery process that was given the platform's messages and is none of its workers.
FOREIGN_ROLE = "foreign"
# How long after its last message a process that is not the platform's is an alarm.
FOREIGN_ALARM = timedelta(minutes=5)
ROLES = (WORKER_ROLE, *ProcessHeartbeat.Role.values)

_POOLS = """
SELECT p.name, coalesce(q.names, '{}'), coalesce(w.workers, 0), coalesce(w.slots, 0), w.oldest_canary, w.worst_skew
FROM scheduling_workerpool p
LEFT JOIN (
    SELECT pool_id, array_agg(name ORDER BY name) AS names FROM scheduling_queue GROUP BY 1
) q ON q.pool_id = p.id
LEFT JOIN (
    SELECT pool_id, count(*)::int AS workers, sum(slots)::int AS slots,
        max(extract(epoch FROM now() - canary_at))::float8 AS oldest_canary,
        (array_agg(clock_skew_seconds ORDER BY abs(clock_skew_seconds) DESC NULLS LAST))[1] AS worst_skew
    FROM scheduling_worker
    WHERE status = 'online' AND heartbeat_at > now() - make_interval(secs => %(lease)s) GROUP BY 1
) w ON w.pool_id = p.id
ORDER BY 1
"""
# Any of those that live may be the one whose clock is off, not only whichever beat last.
_PROCESSES = """
SELECT role, min(extract(epoch FROM now() - heartbeat_at))::float8,
    (array_agg(clock_skew_seconds ORDER BY abs(clock_skew_seconds) DESC NULLS LAST)
        FILTER (WHERE heartbeat_at > now() - make_interval(secs => %(lease)s)))[1]
FROM scheduling_process_heartbeat GROUP BY role
"""


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
    require_scope()
    with connection.cursor() as cursor:
        cursor.execute(_POOLS, {"lease": lease_seconds()})
        pools = [LivePool(*row) for row in cursor.fetchall()]
        cursor.execute(_PROCESSES, {"lease": lease_seconds()})
        processes = cursor.fetchall()
    ages = {role: age for role, age, _ in processes}
    told = [*(skew for _, _, skew in processes), *(pool.worst_skew_seconds for pool in pools)]
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
