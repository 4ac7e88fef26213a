"""What a pool has had to do in the last hour and has now, as the what-if replays it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count

from scheduling.conf import MERGE_BELOW_US, lease_seconds
from scheduling.exceptions import PoolNotFoundError
from scheduling.fairness.simulation import Arrivals, Policy
from scheduling.fairness.simulation.load import SECOND_US, Load, PlanTerms, QueueTerms, TenantTerms, TierTerms
from scheduling.fairness.simulation.what_if import Note, NoteCode
from scheduling.models import CFSPlan, Queue, WorkerPool
from tenants.clock import read_clock
from tenants.context import all_tenants
from tenants.ids import uuid7_floor
from tenants.models import Plan, Tenant
from tenants.texts import said

WINDOW = timedelta(hours=1)
# Arrivals and waiting jobs together: replayed twice, these are 50,000 picks, as many as a page can wait for.
MOST_JOBS = 25_000
# Of one line no more waiting jobs than these are counted.
LONGEST_LINE = 200_000

_SLOTS = """
SELECT coalesce(sum(slots), 0) FROM scheduling_worker
WHERE pool_id = %s AND status = 'online' AND heartbeat_at > now() - make_interval(secs => %s)
"""
# In flight: what is left of what was predicted. Whoever has used all of it is taken to need as much again as a tenth.
_RUNNING = """
SELECT l.tenant_id::text, l.queue_id, e.fair_key, greatest(p.whole_us / 10, p.whole_us
    - coalesce(extract(epoch FROM clock_timestamp() - l.started_at) * 1000000, 0)::bigint, 1)
FROM scheduling_execution_live l CROSS JOIN LATERAL (SELECT coalesce(l.whole_us, l.predicted_us) AS whole_us) p
    JOIN scheduling_schedulingentity e ON e.id = l.entity_id
WHERE l.pool_id = %s ORDER BY l.id
"""
# A line of waiting jobs is told by its length, as far as it matters, and by what its next job is predicted to cost.
_WAITING = """
SELECT e.tenant_id::text, e.queue_id, e.fair_key, ready.count, greatest(e.estimate_us, 1), ready.head_rank
FROM scheduling_schedulingentity e JOIN scheduling_queue q ON q.id = e.queue_id AND q.pool_id = %s AND NOT q.is_paused
    JOIN tenants_tenant t ON t.id = e.tenant_id AND t.status = 'active' AND NOT t.is_paused
    CROSS JOIN LATERAL (
        SELECT count(*), min(rank) AS head_rank
        FROM (SELECT r.rank FROM scheduling_job_ready r WHERE r.entity_id = e.id ORDER BY r.rank LIMIT %s) first
    ) ready
WHERE e.waiting > 0 AND ready.count > 0 ORDER BY e.id
"""
# Ids are made in order of time, so the hour is a range of the primary key; the executions of its jobs came after it.
# Every n-th is taken where there are more than can be replayed, tenant by tenant: counted in the order of their coming,
# whoever submits in the rhythm of the count would be taken always or never.
_ARRIVALS = """
WITH came AS (
    SELECT j.id, j.tenant_id, j.queue_id, j.fair_key, j.kind, greatest(j.created_at, j.run_at) AS at,
        row_number() OVER (ORDER BY j.tenant_id, j.queue_id, j.id) AS n, count(*) OVER () AS total
    FROM scheduling_job j JOIN scheduling_queue q ON q.id = j.queue_id AND q.pool_id = %(pool_id)s AND NOT q.is_paused
        JOIN tenants_tenant t ON t.id = j.tenant_id AND t.status = 'active' AND NOT t.is_paused
    WHERE j.id >= %(floor)s AND j.run_at <= %(now)s AND j.state NOT IN ('scheduled', 'suspended')
        AND NOT (j.state = 'cancelled' AND j.started_at IS NULL)
), chosen AS (
    SELECT *, greatest(1, ceil((total + %(waiting)s) / %(limit)s::float8))::int AS step FROM came
), ran AS (
    SELECT x.job_id, sum(x.measured_us) AS cost_us, min(x.predicted_us) FILTER (WHERE x.number = 1) AS predicted_us
    FROM scheduling_execution x WHERE x.id >= %(floor)s AND x.measured_us > 0 GROUP BY 1
)
SELECT c.tenant_id::text, c.queue_id, c.fair_key,
    least(%(last_us)s, greatest(0, extract(epoch FROM c.at - %(since)s) * 1000000)::bigint),
    r.cost_us::bigint, coalesce(r.predicted_us, tc.mean_us, kc.mean_us, (q.expected_seconds * 1000000)::bigint), c.step
FROM chosen c JOIN scheduling_queue q ON q.id = c.queue_id
    LEFT JOIN ran r ON r.job_id = c.id
    LEFT JOIN scheduling_tenant_kind_cost tc ON tc.tenant_id = c.tenant_id AND tc.kind = c.kind
    LEFT JOIN scheduling_kind_cost kc ON kc.kind = c.kind
WHERE c.n %% c.step = 0
ORDER BY c.at, c.id
"""
# From hand-out to start, of the last jobs that had a message of their own: in the middle, as nobody's waits are.
_TURNAROUND = """
SELECT coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - dispatched_at)), 0)::float8
FROM (
    SELECT x.started_at, x.dispatched_at FROM scheduling_execution x
        JOIN scheduling_queue q ON q.id = x.queue_id AND q.pool_id = %s
    WHERE x.id >= %s AND x.started_at IS NOT NULL AND x.measured_us >= %s ORDER BY x.id DESC LIMIT 1000
) AS last
"""
_ELSEWHERE = """
SELECT EXISTS (SELECT FROM scheduling_execution_live l WHERE l.pool_id <> %s
    AND l.tenant_id IN (SELECT e.tenant_id FROM scheduling_schedulingentity e JOIN scheduling_queue q
        ON q.id = e.queue_id AND q.pool_id = %s WHERE e.waiting > 0 OR e.in_flight > 0))
"""


@dataclass(frozen=True, slots=True)
class RecentLoad:
    """A load, with what has to be said about how it was read."""

    load: Load
    notes: Sequence[Note]


@dataclass(slots=True)
class _Columns:
    """Jobs of the replay while they are gathered; places, and the fair keys there, are numbered as they come."""

    at_us: list[int] = field(default_factory=list)
    entity: list[int] = field(default_factory=list)
    cost_us: list[int] = field(default_factory=list)
    predicted_us: list[int] = field(default_factory=list)
    key: list[int] = field(default_factory=list)
    # Ids of tenants are text here: of 25,000, each would be an object for the garbage collector to walk.
    places: dict[tuple[int, str], int] = field(default_factory=dict)
    # By its fair key: the number of its place, and its own.
    keys: dict[tuple[int, str, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, queue_id: int, tenant_id: str, key: str, at_us: int, cost_us: int, predicted_us: int) -> None:
        line = self.keys.get((queue_id, tenant_id, key))
        if line is None:
            place = self.places.setdefault((queue_id, tenant_id), len(self.places))
            line = self.keys[queue_id, tenant_id, key] = (place, len(self.keys))
        self.at_us.append(at_us)
        self.entity.append(line[0])
        self.key.append(line[1])
        self.cost_us.append(max(1, cost_us))
        self.predicted_us.append(max(1, predicted_us))


def read_recent_load(pool: str | None = None, *, window: timedelta = WINDOW) -> RecentLoad:
    """The last ``window`` of ``pool`` (by default the one that serves most queues) and what waits and runs in it now.

    A handful of statements, whatever the number of jobs; those that read jobs are one each. Raises PoolNotFoundError.
    """
    with all_tenants():
        found = _find_pool(pool)
        now = read_clock()
        with connection.cursor() as cursor:
            slots = _fetch(cursor, _SLOTS, [found.pk, lease_seconds()])[0][0]
            running = _fetch(cursor, _RUNNING, [found.pk])
            waiting = _shorten(_fetch(cursor, _WAITING, [found.pk, LONGEST_LINE]), slots, window)
            arrivals = _fetch(cursor, _ARRIVALS, _arrival_parameters(found.pk, now, window, waiting))
            turnaround = _fetch(cursor, _TURNAROUND, [found.pk, uuid7_floor(now - window), MERGE_BELOW_US])[0][0]
            is_elsewhere = _fetch(cursor, _ELSEWHERE, [found.pk, found.pk])[0][0]
        columns, stands_for = _gather(running, waiting, arrivals, now)
        load = _describe(found, slots, columns, window, running=len(running), stands_for=stands_for)
        load = replace(load, turnaround_us=round(turnaround * SECOND_US), small_us=MERGE_BELOW_US)
        has_reserve = CFSPlan.objects.filter(is_active=True, reserved_slots__gt=0).exists()
    return RecentLoad(load, _notes(arrivals, is_elsewhere=is_elsewhere, has_reserve=has_reserve))


def _find_pool(name: str | None) -> WorkerPool:
    pools = WorkerPool.objects.annotate(size=Count("queues")).order_by("-size", "pk")
    pool = pools.first() if name is None else pools.filter(name=name).first()
    if pool is None:
        raise PoolNotFoundError
    return pool


def _fetch(cursor: Any, statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    cursor.execute(statement, parameters)
    return list(cursor.fetchall())


def _shorten(waiting: Iterable[tuple[Any, ...]], slots: int, window: timedelta) -> list[tuple[Any, ...]]:
    """No line longer than all slots together could serve in the window: what is behind that changes nothing."""
    served_us = max(slots, 1) * 4 * window.total_seconds() * SECOND_US
    return [
        (tenant_id, queue_id, key, min(count, int(served_us // cost_us) + 1), cost_us, rank)
        for tenant_id, queue_id, key, count, cost_us, rank in waiting
    ]


def _arrival_parameters(
    pool_id: int, now: datetime, window: timedelta, waiting: Sequence[tuple[Any, ...]]
) -> dict[str, Any]:
    return {
        "pool_id": pool_id,
        "floor": uuid7_floor(now - window),
        "now": now,
        "since": now - window,
        "last_us": round(window.total_seconds() * SECOND_US) - 1,
        "waiting": sum(row[3] for row in waiting),
        "limit": MOST_JOBS,
    }


def _gather(
    running: Sequence[tuple[Any, ...]],
    waiting: Sequence[tuple[Any, ...]],
    arrivals: Sequence[tuple[Any, ...]],
    now: datetime,
) -> tuple[_Columns, int]:
    """The jobs in the order of the replay: what runs, what waits, what comes. Each stands for so many."""
    stands_for = arrivals[0][6] if arrivals else -(-sum(row[3] for row in waiting) // MOST_JOBS) or 1
    columns = _Columns()
    for tenant_id, queue_id, key, left_us in running:
        columns.add(queue_id, tenant_id, key, 0, left_us, left_us)
    for _, tenant_id, queue_id, key, cost_us in sorted(_thin(waiting, stands_for, now), key=lambda row: row[:1]):
        columns.add(queue_id, tenant_id, key, 0, cost_us * stands_for, cost_us * stands_for)
    for tenant_id, queue_id, key, at_us, cost_us, predicted_us, _ in arrivals:
        measured_us = predicted_us if cost_us is None else cost_us
        columns.add(queue_id, tenant_id, key, at_us, measured_us * stands_for, predicted_us * stands_for)
    return columns, stands_for


def _thin(waiting: Iterable[tuple[Any, ...]], step: int, now: datetime) -> Iterable[tuple[int, str, int, str, int]]:
    """Every ``step``-th waiting job as (rank, tenant, queue, fair key, cost); ranks from a line's first to now."""
    now_rank = round(now.timestamp() * SECOND_US)
    seen = 0
    for tenant_id, queue_id, key, count, cost_us, head_rank in waiting:
        first, seen = seen, seen + count
        apart = max(0, now_rank - head_rank) // count
        for place in range(-first % step, count, step):
            yield head_rank + place * apart, tenant_id, queue_id, key, cost_us


def _describe(
    pool: WorkerPool, slots: int, columns: _Columns, window: timedelta, *, running: int, stands_for: int
) -> Load:
    queues = list(Queue.objects.filter(pool=pool).order_by("pk"))
    queue_numbers = {queue.pk: number for number, queue in enumerate(queues)}
    tenant_ids = list(dict.fromkeys(tenant_id for _, tenant_id in columns.places))
    tenant_numbers = {tenant_id: number for number, tenant_id in enumerate(tenant_ids)}
    tenants = {str(row.pk): row for row in Tenant.objects.select_related("plan").filter(pk__in=tenant_ids)}
    plan = CFSPlan.objects.filter(is_active=True).prefetch_related("tiers__queue").first()
    names = {queue.name for queue in queues}
    return Load(
        pool=pool.name,
        slots=slots,
        policy=Policy.FIFO if plan is None or plan.strategy == CFSPlan.Strategy.NOP else Policy.TIME_SLICE,
        granularity_seconds=plan.granularity_seconds if plan else 120,
        queues=[QueueTerms(queue.name, queue.weight, queue.cap, queue.expected_seconds) for queue in queues],
        plans={row.slug: PlanTerms(row.weight, row.max_concurrency) for row in Plan.objects.all()},
        tenants=[_tenant_terms(tenants[tenant_id]) for tenant_id in tenant_ids],
        tiers={
            row.tier_id: TierTerms(row.queue.name, row.weight)
            for row in (plan.tiers.all() if plan else ())
            if row.queue.name in names
        },
        places=[(queue_numbers[queue_id], tenant_numbers[tenant_id]) for queue_id, tenant_id in columns.places],
        arrivals=Arrivals(
            columns.at_us,
            columns.entity,
            columns.cost_us,
            columns.predicted_us,
            columns.key if any(key for _, _, key in columns.keys) else None,
        ),
        seconds=window.total_seconds(),
        running=running,
        stands_for=stands_for,
    )


def _tenant_terms(tenant: Tenant) -> TenantTerms:
    return TenantTerms(tenant.slug, tenant.plan.slug, float(tenant.weight_factor), tenant.max_concurrency)


def _notes(arrivals: Sequence[tuple[Any, ...]], *, is_elsewhere: bool, has_reserve: bool) -> list[Note]:
    notes: list[Note] = []
    unmeasured = sum(row[4] is None for row in arrivals)
    if unmeasured:
        text = said(
            "%(count)s of %(total)s arrivals have not run yet; what is predicted for them was taken.",
            {"count": unmeasured, "total": len(arrivals)},
        )
        notes.append(Note(NoteCode.PREDICTED_COSTS, text))
    if is_elsewhere:
        text = said("Tenants of this pool also run jobs in other pools; their caps are counted here alone.")
        notes.append(Note(NoteCode.OTHER_POOLS, text))
    if has_reserve:
        text = said("Slots are reserved for tenants below their part; the replay hands out all by the fair order.")
        notes.append(Note(NoteCode.RESERVED_SLOTS, text))
    return notes
