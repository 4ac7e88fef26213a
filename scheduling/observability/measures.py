"""Queries for one scrape of the metrics; they are few, and none counts or groups the table of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduling.alerts.queries import count_by_severity, read_evaluation_age
from scheduling.breakers.queries import count_open_circuits
from scheduling.fleet.queries import Liveness, read_liveness
from scheduling.jobs.queries import CappedCount
from scheduling.models import DeadLetter, KindCost
from scheduling.shares.history import HistorySpan, read_share_history
from scheduling.shares.raw import fetch_rows
from scheduling.statistics.costs import read_kind_costs
from tenants.audit.chain_queries import SealBacklog, read_seal_backlog
from tenants.context import require_scope
from tenants.database.ids import uuid7_floor
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import execute, set_config
from tenants.database.reads import from_row
from tenants.database.sql import load_sql

# Scheduled jobs and jobs in backoff are read soonest first up to this limit; suspended jobs in any order.
DUE_LIMIT = 2_000
# A longer scrape is aborted: monitoring must not delay the monitored system.
SCRAPE_TIMEOUT_MS = 5_000
DEAD_LETTER_LIMIT = 1_000
DEAD_LETTER_AGE = timedelta(hours=24)

_SQL = load_sql(__file__)
_OLDEST = _SQL["find_oldest"]

_QUEUES, _DUE, _SUSPENDED = _SQL["read_queues"], _SQL["count_due"], _SQL["count_suspended"]
_WORKERS, _TICKS, _ROLLUP_LAG = _SQL["count_workers"], _SQL["read_ticks"], _SQL["read_rollup_lag"]


@dataclass(frozen=True, slots=True)
class QueueMeasure:
    """Measured load of one queue; ``ready`` is the number of jobs that may start now.

    Scheduled jobs and jobs in backoff are counted up to DUE_LIMIT over all queues together; so are suspended jobs.
    """

    name: str
    pool: str
    waiting: int
    scheduled: int
    backing_off: int
    suspended: int
    oldest_seconds: float
    predicted_seconds: float
    dispatched: int
    executing: int
    messages: int
    is_unread: bool

    @property
    def ready(self) -> int:
        return max(0, self.waiting - self.scheduled - self.backing_off)

    @property
    def ready_seconds(self) -> float:
        """Return the predicted slot time of the ready jobs in seconds."""
        return self.predicted_seconds * self.ready / self.waiting if self.waiting else 0.0


@dataclass(frozen=True, slots=True)
class TenantMeasure:
    """Share of one of the tenants with the greatest entitlements, as the overview shows it; the lag is slot time."""

    slug: str
    ratio: float | None
    used_slots: float
    entitled_slots: float
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class Measures:
    """All measured values for one scrape."""

    queues: list[QueueMeasure]
    liveness: Liveness
    workers: Mapping[tuple[str, str], int]
    tick_ages: Mapping[str, float]
    tenants: list[TenantMeasure]
    rollup_lag_seconds: float | None
    seals: SealBacklog
    kind_costs: Mapping[str, KindCost]
    open_circuits: Mapping[tuple[str, str], int]
    firing_alerts: Mapping[str, int]
    alert_evaluation_age: float | None


def read_measures(*, tenant_limit: int) -> Measures:
    """Return all measured values, in about twenty queries; nine fewer if ``tenant_limit`` is 0."""
    require_scope()
    execute(*set_config({"statement_timeout": str(SCRAPE_TIMEOUT_MS)}), is_planned=True)
    liveness = read_liveness()
    return Measures(
        queues=read_queue_measures(),
        liveness=liveness,
        workers={
            (row.pool, row.status): row.workers
            for row in fetch_rows(_WORKERS, {"lease_seconds": platform_settings.LEASE_SECONDS})
        },
        tick_ages={row.pool: row.age for row in fetch_rows(_TICKS)},
        tenants=_read_tenants(tenant_limit) if tenant_limit else [],
        rollup_lag_seconds=fetch_rows(_ROLLUP_LAG)[0].lag,
        seals=read_seal_backlog(),
        kind_costs=read_kind_costs(),
        open_circuits=count_open_circuits(),
        firing_alerts=count_by_severity(),
        alert_evaluation_age=read_evaluation_age(),
    )


def count_recent_dead_letters(*, since: datetime) -> CappedCount:
    """Return the number of dead letters since ``since`` that were not requeued, counted up to DEAD_LETTER_LIMIT."""
    letters = DeadLetter.objects.filter(id__gte=uuid7_floor(since), requeued_at__isnull=True)
    counted = letters.order_by().values("id")[: DEAD_LETTER_LIMIT + 1].count()
    return CappedCount(min(counted, DEAD_LETTER_LIMIT), counted > DEAD_LETTER_LIMIT)


def read_queue_measures() -> list[QueueMeasure]:
    """Return the load of each queue, in four queries that do not count the table of jobs."""
    oldest = {row.queue_id: row.since for row in fetch_rows(_OLDEST)}
    due = {row.queue_id: row for row in fetch_rows(_DUE, {"limit": DUE_LIMIT})}
    suspended = {row.queue_id: row.jobs for row in fetch_rows(_SUSPENDED, {"limit": DUE_LIMIT})}
    measures = []
    for row in fetch_rows(_QUEUES):
        counted, since = due.get(row.queue_id), oldest.get(row.queue_id)
        measures.append(
            from_row(
                QueueMeasure,
                row,
                scheduled=counted.scheduled if counted else 0,
                backing_off=counted.backing_off if counted else 0,
                suspended=suspended.get(row.queue_id, 0),
                oldest_seconds=max(0.0, (row.now - since).total_seconds()) if since else 0.0,
                predicted_seconds=row.predicted_us / 1e6,
            )
        )
    return measures


def _read_tenants(limit: int) -> list[TenantMeasure]:
    lines = read_share_history(HistorySpan.RECENT, limit=limit).lines[:limit]
    return [
        TenantMeasure(line.slug, line.ratio, line.used_slots, line.entitled_slots or 0.0, (line.lag_us or 0) / 1e6)
        for line in lines
    ]
