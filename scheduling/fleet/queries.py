"""Queries of workers, dispatchers and beat, which are alive if their last heartbeat is recent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from psycopg.rows import class_row

from scheduling.exceptions import WorkerNotFoundError
from scheduling.models import LiveExecution, ProcessHeartbeat, Worker
from scheduling.shares.raw import fetch_rows
from tenants.context import all_tenants, require_scope
from tenants.database.platform_settings import platform_settings
from tenants.database.reads import first_or_raise
from tenants.database.sql import load_sql

WORKER_ROLE = "worker"
# Celery process that received the platform's messages and is not one of its workers.
FOREIGN_ROLE = "foreign"
# Duration of the alarm after the last message to such a process.
FOREIGN_ALARM = timedelta(minutes=5)
ROLES = (WORKER_ROLE, *ProcessHeartbeat.Role.values)

_SQL = load_sql(__file__)
_POOLS, _PROCESSES = _SQL["read_pools"], _SQL["read_processes"]


@dataclass(frozen=True, slots=True)
class LivePool:
    """Pool with the slots and queues of its live workers.

    ``oldest_canary_seconds`` is the age of the oldest of the workers' last canary answers.
    """

    name: str
    queues: list[str]
    workers: int
    slots: int
    oldest_canary_seconds: float | None
    worst_skew_seconds: float | None


@dataclass(frozen=True, slots=True)
class Liveness:
    """Live workers by pool, and the age in seconds of the youngest heartbeat of each type of process."""

    pools: list[LivePool]
    process_ages: Mapping[str, float]
    worst_skew_seconds: float | None


def read_liveness() -> Liveness:
    """Return which pools and processes are alive, in two queries over small tables."""
    values = {"lease": platform_settings.LEASE_SECONDS}
    pools = fetch_rows(_POOLS, values, row_factory=class_row(LivePool))
    processes = fetch_rows(_PROCESSES, values)
    ages = {row.role: row.age for row in processes}
    reported = [*(row.skew for row in processes), *(pool.worst_skew_seconds for pool in pools)]
    skews = [skew for skew in reported if skew is not None]
    return Liveness(pools, ages, max(skews, key=abs, default=None))


def live_workers() -> QuerySet[Worker]:
    """Return a queryset of the workers whose last heartbeat is within the lease, including draining ones."""
    since = Now() - timedelta(seconds=platform_settings.LEASE_SECONDS)
    return Worker.objects.exclude(status=Worker.Status.STOPPED).filter(heartbeat_at__gt=since)


def find_foreign_process() -> str:
    """Return HOST:PID of a foreign Celery process that received messages within FOREIGN_ALARM, or an empty text."""
    require_scope()
    since = Now() - FOREIGN_ALARM
    row = ProcessHeartbeat.objects.filter(role=FOREIGN_ROLE, heartbeat_at__gt=since).first()
    return "" if row is None else f"{row.hostname}:{row.pid}"


# Executions of a worker on one page.
EXECUTION_LIMIT = 200


def list_workers() -> QuerySet[Worker]:
    """Return a queryset of all workers; ``running`` counts their executions in the current tenant context."""
    own = LiveExecution.objects.filter(worker_id=OuterRef("pk")).order_by().values("worker_id")
    running = own.annotate(running=Count("pk")).values("running")
    return Worker.objects.select_related("pool").annotate(
        running=Coalesce(Subquery(running, output_field=IntegerField()), 0)
    )


def get_worker(worker_id: UUID) -> Worker:
    """Return the worker with this id; raise WorkerNotFoundError if there is none."""
    return first_or_raise(list_workers().filter(pk=worker_id), WorkerNotFoundError)


def list_current_executions(worker_id: UUID) -> Sequence[LiveExecution]:
    """Return a worker's executions in the current tenant context, longest-running first, at most EXECUTION_LIMIT."""
    rows = LiveExecution.objects.filter(worker_id=worker_id).select_related("tenant", "queue").order_by("started_at")
    return list(rows[:EXECUTION_LIMIT])


def find_running_workers(*, pool_name: str, hostname: str) -> list[tuple[int, UUID, int]]:
    """Return (process id, worker id, number of executions) of the pool's online and draining workers on a machine."""
    with all_tenants():
        rows = list_workers().filter(
            pool__name=pool_name, hostname=hostname, status__in=(Worker.Status.ONLINE, Worker.Status.DRAINING)
        )
        return [(worker.pid, worker.pk, worker.running) for worker in rows]  # type: ignore[attr-defined]
