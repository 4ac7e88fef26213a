"""What one scrape of the metrics reads: few statements, none of which counts or groups the table of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from scheduling.conf import lease_seconds
from scheduling.models import DeadLetter, KindCost, Queue
from scheduling.selectors.circuits import count_open_circuits
from scheduling.selectors.costs import read_kind_costs
from scheduling.selectors.fairness import ENTITY_LIMIT, TenantLine, read_fair_share, read_in_flight
from scheduling.selectors.jobs import CappedCount
from scheduling.selectors.processes import Liveness, read_liveness
from scheduling.selectors.throughput import WINDOW, read_ended_by_tenant
from tenants.clock import read_clock
from tenants.context import require_scope
from tenants.ids import uuid7_floor
from tenants.selectors.audit_chain import SealBacklog, read_seal_backlog

# Scheduled jobs and back-offs are looked at soonest first, and no further than this; suspended jobs in any order.
DUE_LIMIT = 2_000
# A scrape that takes longer is given up: monitoring must not hold what it watches.
SCRAPE_TIMEOUT_MS = 5_000
DEAD_LETTER_LIMIT = 1_000
DEAD_LETTER_AGE = timedelta(hours=24)

# The heads of at most 500 tenants, the longest waiting first: a job's own rank orders it inside its tenant only.
_OLDEST = """
SELECT head.queue_id, min(j.run_at) FROM (
    SELECT e.queue_id, r.job_id FROM (
        SELECT id, queue_id FROM scheduling_schedulingentity WHERE waiting > 0 ORDER BY head_rank LIMIT 500
    ) e CROSS JOIN LATERAL (
        SELECT job_id FROM scheduling_job_ready WHERE entity_id = e.id ORDER BY rank, job_id LIMIT 1
    ) r
) head JOIN scheduling_job j ON j.id = head.job_id GROUP BY 1
"""

_QUEUES = """
SELECT q.id, q.name, p.name, now(), coalesce(e.waiting, 0)::bigint, coalesce(e.predicted_us, 0)::float8,
    coalesce(l.dispatched, 0), coalesce(l.executing, 0), coalesce(l.messages, 0), s.unread_since IS NOT NULL
FROM scheduling_queue q JOIN scheduling_workerpool p ON p.id = q.pool_id
LEFT JOIN (
    SELECT queue_id, sum(waiting) AS waiting, sum(waiting::numeric * estimate_us) AS predicted_us
    FROM scheduling_schedulingentity WHERE waiting > 0 GROUP BY 1
) e ON e.queue_id = q.id
LEFT JOIN scheduling_queue_standing s ON s.queue_id = q.id
LEFT JOIN (
    SELECT queue_id, count(*) FILTER (WHERE started_at IS NULL) AS dispatched,
        count(*) FILTER (WHERE started_at IS NOT NULL) AS executing, count(DISTINCT message_id) AS messages
    FROM scheduling_execution_live GROUP BY 1
) l ON l.queue_id = q.id
ORDER BY 2
"""
# LATERAL with LIMIT: each state by its key, whatever the planner believes of the table of jobs.
_DUE = """
SELECT e.queue_id, count(*) FILTER (WHERE j.state = 'scheduled'), count(*) FILTER (WHERE j.state = 'retryable')
FROM (SELECT job_id, entity_id FROM scheduling_job_due ORDER BY due_at LIMIT %s) d
    CROSS JOIN LATERAL (SELECT state FROM scheduling_job WHERE id = d.job_id LIMIT 1) j
    JOIN scheduling_schedulingentity e ON e.id = d.entity_id
GROUP BY 1
"""
_SUSPENDED = """
SELECT j.queue_id, count(*)
FROM (SELECT job_id FROM scheduling_job_suspended LIMIT %s) s
    CROSS JOIN LATERAL (SELECT queue_id FROM scheduling_job WHERE id = s.job_id LIMIT 1) j
GROUP BY 1
"""
_WORKERS = """
SELECT p.name, CASE WHEN w.heartbeat_at > now() - make_interval(secs => %s) THEN w.status ELSE 'silent' END, count(*)
FROM scheduling_worker w JOIN scheduling_workerpool p ON p.id = w.pool_id WHERE w.status <> 'stopped' GROUP BY 1, 2
"""
_TICKS = """
SELECT p.name, extract(epoch FROM now() - c.ticked_at)::float8
FROM scheduling_pool_clock c JOIN scheduling_workerpool p ON p.id = c.pool_id WHERE c.ticked_at IS NOT NULL
"""
_ROLLUP_LAG = "SELECT extract(epoch FROM now() - min(folded_at))::float8 FROM scheduling_rollup_clock"
# Service that is owed: how far the tenant's virtual time is behind its queue's, at its weight.
_LAGS = """
SELECT t.id, t.slug, coalesce(max((c.virtual_time - e.vruntime)::float8 * e.weight_milli / 1e12)
    FILTER (WHERE e.is_runnable OR e.in_flight + e.keys_in_flight > 0), 0)
FROM tenants_tenant t LEFT JOIN scheduling_schedulingentity e ON e.tenant_id = t.id AND e.parent_id IS NULL
    LEFT JOIN scheduling_queue_clock c ON c.queue_id = e.queue_id
WHERE t.id = ANY(%s) GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class QueueMeasure:
    """One queue. ``ready`` is what may start now.

    What is scheduled or backs off is counted up to DUE_LIMIT in all queues together, what is suspended likewise.
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
        """Predicted slot time of what is ready."""
        return self.predicted_seconds * self.ready / self.waiting if self.waiting else 0.0


@dataclass(frozen=True, slots=True)
class TenantMeasure:
    """One of the busiest tenants; shares are parts of one, the lag is in slot-seconds."""

    slug: str
    share: float
    entitlement: float
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class Measures:
    """Everything that is read at a scrape."""

    queues: list[QueueMeasure]
    liveness: Liveness
    workers: Mapping[tuple[str, str], int]
    tick_ages: Mapping[str, float]
    tenants: list[TenantMeasure]
    rollup_lag_seconds: float | None
    seals: SealBacklog
    kind_costs: Mapping[str, KindCost]
    open_circuits: Mapping[tuple[str, str], int]


def read_measures(*, tenant_limit: int) -> Measures:
    """About fifteen statements, four fewer when ``tenant_limit`` is 0."""
    require_scope()
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {SCRAPE_TIMEOUT_MS}")
    liveness = read_liveness()
    lag = _fetch(_ROLLUP_LAG, [])
    return Measures(
        queues=read_queue_measures(),
        liveness=liveness,
        workers={(pool, status): count for pool, status, count in _fetch(_WORKERS, [lease_seconds()])},
        tick_ages=dict(_fetch(_TICKS, [])),
        tenants=_read_tenants(liveness, tenant_limit) if tenant_limit else [],
        rollup_lag_seconds=lag[0][0],
        seals=read_seal_backlog(),
        kind_costs=read_kind_costs(),
        open_circuits=count_open_circuits(),
    )


def count_recent_dead_letters(*, since: datetime) -> CappedCount:
    """Dead letters since then that nobody has requeued, looking at no more than DEAD_LETTER_LIMIT."""
    letters = DeadLetter.objects.filter(id__gte=uuid7_floor(since), requeued_at__isnull=True)
    counted = letters.order_by().values("id")[: DEAD_LETTER_LIMIT + 1].count()
    return CappedCount(min(counted, DEAD_LETTER_LIMIT), counted > DEAD_LETTER_LIMIT)


def read_queue_measures() -> list[QueueMeasure]:
    """How each queue stands: four statements, none of which counts the table of jobs."""
    require_scope()
    oldest: dict[int, datetime] = dict(_fetch(_OLDEST, []))
    due = {queue_id: counts for queue_id, *counts in _fetch(_DUE, [DUE_LIMIT])}
    suspended = dict(_fetch(_SUSPENDED, [DUE_LIMIT]))
    measures = []
    for queue_id, name, pool, now, waiting, predicted_us, *rest in _fetch(_QUEUES, []):
        scheduled, backing_off = due.get(queue_id, (0, 0))
        since = oldest.get(queue_id)
        measures.append(
            QueueMeasure(
                name=name,
                pool=pool,
                waiting=waiting,
                scheduled=scheduled,
                backing_off=backing_off,
                suspended=suspended.get(queue_id, 0),
                oldest_seconds=max(0.0, (now - since).total_seconds()) if since else 0.0,
                predicted_seconds=predicted_us / 1e6,
                **dict(zip(("dispatched", "executing", "messages", "is_unread"), rest, strict=True)),
            )
        )
    return measures


def _read_tenants(liveness: Liveness, limit: int) -> list[TenantMeasure]:
    now = read_clock()
    queues = list(Queue.objects.select_related("pool"))
    slots = {pool.name: pool.slots for pool in liveness.pools}
    share = read_fair_share(
        queues=queues,
        slots_by_pool={queue.pool_id: slots.get(queue.pool.name, 0) for queue in queues},
        in_flight=read_in_flight(now, now - WINDOW),
        ended_by_tenant=read_ended_by_tenant(now),
        limit=ENTITY_LIMIT,
    )
    busiest = sorted(share.lines, key=_busyness, reverse=True)[:limit]
    found = {row[0]: row[1:] for row in _fetch(_LAGS, [[line.tenant_id for line in busiest]])}
    return [
        TenantMeasure(slug, line.used_share or 0.0, line.entitled_share or 0.0, lag_seconds)
        for line in busiest
        if line.tenant_id in found
        for slug, lag_seconds in [found[line.tenant_id]]
    ]


def _busyness(line: TenantLine) -> tuple[float, int]:
    return line.used_seconds, line.waiting


def _fetch(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
