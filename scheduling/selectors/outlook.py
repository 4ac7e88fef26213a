"""Where a waiting job stands: what is before it in its tenant's own order, and when it will start.

Every read is bounded: jobs are counted up to a limit, tenants are added up in the database into backlogs that will be
done at about the same time, and what is in flight is never more than there are slots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any

from scheduling.fairness.eta import Backlog, Estimate, Outlook, QueueBacklogs, estimate_start
from scheduling.models import CFSPlan, Job, Queue
from scheduling.selectors.fairness import effective_weights
from scheduling.selectors.standing import Standing
from tenants.context import all_tenants
from tenants.prepared import prepared_cursor

# Jobs that are counted one by one; beyond it the number is "more than".
COUNT_LIMIT = 10_000

# The line of the job's fair key, counted from its head to the job, with what each kind is predicted to cost.
_AHEAD = """
WITH line AS (
    SELECT id FROM scheduling_schedulingentity
    WHERE tenant_id = %(tenant_id)s AND queue_id = %(queue_id)s AND fair_key = %(fair_key)s
), ahead AS (
    SELECT r.kind, count(*) AS jobs FROM (
        SELECT r.kind FROM scheduling_job_ready r
        WHERE r.entity_id = (SELECT id FROM line) AND (r.rank, r.job_id) < (%(rank)s, %(job_id)s)
        ORDER BY r.rank, r.job_id LIMIT %(limit)s + 1
    ) r GROUP BY 1
)
SELECT a.jobs, coalesce(tc.mean_us, kc.mean_us, (q.expected_seconds * 1000000)::bigint),
    coalesce(sqrt(greatest(0, tc.n * tc.sum_yy - tc.sum_y * tc.sum_y)) / nullif(tc.sum_y, 0), 1)
FROM ahead a JOIN scheduling_queue q ON q.id = %(queue_id)s
    LEFT JOIN scheduling_tenant_kind_cost tc ON tc.tenant_id = %(tenant_id)s AND tc.kind = a.kind
    LEFT JOIN scheduling_kind_cost kc ON kc.kind = a.kind
"""
# Where more are ahead than are counted: how many are behind, of all that the line has.
_BEHIND = """
SELECT e.waiting, (SELECT count(*) FROM (
    SELECT FROM scheduling_job_ready r
    WHERE r.entity_id = e.id AND (r.rank, r.job_id) > (%(rank)s, %(job_id)s) LIMIT %(limit)s + 1) AS behind)
FROM scheduling_schedulingentity e
WHERE e.tenant_id = %(tenant_id)s AND e.queue_id = %(queue_id)s AND e.fair_key = %(fair_key)s
"""
# First in, first out: everybody's jobs of the queue that came before.
_QUEUE_AHEAD = """
SELECT count(*), coalesce(sum(estimate_us), 0)::float8 FROM (
    SELECT e.estimate_us FROM scheduling_schedulingentity e
        JOIN scheduling_job_ready r ON r.entity_id = e.id AND (r.rank, r.job_id) < (%(rank)s, %(job_id)s)
    WHERE e.queue_id = %(queue_id)s AND e.is_runnable LIMIT %(limit)s + 1
) AS ahead
"""
# How long each message in flight will still hold its slot. One that is over its time goes on as long again.
_RUNNING = """
SELECT m.tenant_ids, greatest(m.predicted_us - m.us, m.us - m.predicted_us, m.predicted_us / 10.0)::float8
FROM (
    SELECT array_agg(DISTINCT l.tenant_id) AS tenant_ids,
        sum(coalesce(l.whole_us, l.predicted_us))::float8 AS predicted_us,
        coalesce(1000000 * extract(epoch FROM clock_timestamp() - min(l.started_at)), 0)::float8 AS us
    FROM scheduling_execution_live l WHERE l.pool_id = %(pool_id)s GROUP BY l.message_id
) m
"""
# The tenants with work in the pool's queues; those of a queue whose work lasts about as long for their weight are one.
_BACKLOGS = """
SELECT queue_id, sum(weight)::float8, sum(work_us)::float8, sum(cap)::float8, sum(waiting)::float8,
    sum(weight * vruntime)::float8 / sum(weight)::float8
FROM (
    SELECT e.queue_id, e.weight_milli / 1000.0 AS weight, e.waiting + e.keys_waiting AS waiting, e.vruntime,
        (e.waiting + e.keys_waiting)::numeric * e.estimate_us AS work_us,
        coalesce(t.max_concurrency, p.max_concurrency) AS cap
    FROM scheduling_queue q JOIN scheduling_schedulingentity e ON e.queue_id = q.id
        JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
    WHERE q.pool_id = %(pool_id)s AND NOT q.is_paused AND e.parent_id IS NULL AND e.waiting + e.keys_waiting > 0
        AND (e.is_runnable OR e.in_flight + e.keys_in_flight > 0)
        AND NOT (e.tenant_id = %(tenant_id)s AND e.queue_id = %(queue_id)s)
) AS tenants
WHERE weight > 0 AND work_us > 0
GROUP BY queue_id, floor(ln(work_us / weight))
"""
_OWN = """
SELECT weight_milli / 1000.0, vruntime FROM scheduling_schedulingentity
WHERE tenant_id = %(tenant_id)s AND queue_id = %(queue_id)s AND parent_id IS NULL
"""


@dataclass(frozen=True, slots=True)
class Ahead:
    """The tenant's own jobs before this one, and their predicted slot time; ``is_more`` says that there are more.

    ``deviation`` is that of their lengths, over the mean.
    """

    jobs: int
    work_us: int
    is_more: bool
    deviation: float = 1.0


@dataclass(frozen=True, slots=True)
class StartTime:
    """When a job will start, in seconds from now, with the band in which four starts of five lie.

    ``pool_position`` is about how many jobs of all tenants start before it, and itself.
    """

    eta_seconds: float
    low_seconds: float
    high_seconds: float
    pool_position: int


def read_ahead(job: Job) -> Ahead:
    """What the tenant's own order has before the job: one statement, two where it is too much to count."""
    values = _values(job)
    rows = _fetch(_AHEAD, values)
    jobs, work_us = sum(row[0] for row in rows), sum(row[0] * row[1] for row in rows)
    deviation = sum(row[0] * row[2] for row in rows) / jobs if jobs else 1.0
    if jobs <= COUNT_LIMIT:
        return Ahead(jobs, work_us, is_more=False, deviation=deviation)
    waiting, behind = _fetch(_BEHIND, values)[0]
    # Counted from whichever end is near; in the middle of a long line, from the middle.
    least = jobs - 1
    estimated = waiting - behind - 1 if behind <= COUNT_LIMIT else (least + waiting - behind) // 2
    estimated = max(least, estimated)
    return Ahead(least, work_us * estimated // jobs, is_more=True, deviation=deviation)


def read_start(
    job: Job, ahead: Ahead, standing: Standing, *, opens_at: datetime | None, is_time: bool
) -> StartTime | None:
    """When the job starts if nothing more arrives; None where nothing that is there could ever serve it.

    ``opens_at`` is when what stops it ends. Where only ``is_time`` stops it, those before it go on meanwhile;
    where its tenant or queue is stopped, its turn comes only then.
    """
    # Everybody's work decides when the turn comes; nothing of it but the time is told.
    with all_tenants(has_savepoint=False):
        estimate = estimate_start(_outlook(job, ahead, standing), deviation=ahead.deviation)
    if estimate is None:
        return None
    stopped_us = max(0.0, (opens_at - standing.now) / timedelta(microseconds=1)) if opens_at else 0.0

    def seconds(wait_us: float) -> float:
        return round((max(stopped_us, wait_us) if is_time else stopped_us + wait_us) / 1e6, 3)

    return StartTime(
        seconds(estimate.wait_us), seconds(estimate.low_us), seconds(estimate.high_us), _position(ahead, estimate)
    )


def _position(ahead: Ahead, estimate: Estimate) -> int:
    return ahead.jobs + round(estimate.others_jobs) + 1


def _outlook(job: Job, ahead: Ahead, standing: Standing) -> Outlook:
    values = _values(job)
    queues = list(Queue.objects.filter(pool_id=job.queue.pool_id))
    plan = CFSPlan.objects.filter(is_active=True).prefetch_related("tiers").first()
    running = _fetch(_RUNNING, values)
    backlogs, means = _backlogs(values)
    if plan is not None and plan.strategy == CFSPlan.Strategy.NOP:
        jobs, work_us = _fetch(_QUEUE_AHEAD, values)[0]
        own, backlogs[job.queue_id] = Backlog(1.0, work_us, inf, jobs), []
    else:
        own = _own_backlog(values, ahead, standing, means.get(job.queue_id))
    weights = effective_weights(queues, plan)
    ordered = sorted(queues, key=lambda queue: queue.pk != job.queue_id)
    return Outlook(
        slots=standing.slots,
        queues=[
            QueueBacklogs(weights[queue.pk], backlogs[queue.pk], _queue_cap(queue, backlogs[queue.pk], own))
            for queue in ordered
        ],
        own=own,
        running_us=[left_us for _, left_us in running],
        own_running_us=[left_us for tenant_ids, left_us in running if job.tenant_id in tenant_ids],
    )


def _own_backlog(values: Mapping[str, Any], ahead: Ahead, standing: Standing, mean: float | None) -> Backlog:
    """The tenant's work before the job, with what it has had ahead of the others in its queue."""
    rows = _fetch(_OWN, values)
    weight, vruntime = rows[0] if rows else (1.0, 0)
    lead_us = 0.0 if mean is None else max(0.0, (vruntime - mean) / 1_000 * float(weight))
    return Backlog(float(weight), ahead.work_us + lead_us, standing.tenant_cap, ahead.jobs)


def _backlogs(values: Mapping[str, Any]) -> tuple[dict[int, Sequence[Backlog]], dict[int, float]]:
    """The others' backlogs by queue, and the mean of their virtual times, by weight."""
    backlogs: dict[int, list[Backlog]] = defaultdict(list)
    weighted: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for queue_id, weight, work_us, cap, jobs, vruntime in _fetch(_BACKLOGS, values):
        backlogs[queue_id].append(Backlog(weight, work_us, cap, jobs))
        weighted[queue_id][0] += weight
        weighted[queue_id][1] += weight * vruntime
    found: dict[int, Sequence[Backlog]] = defaultdict(list, backlogs)
    return found, {queue_id: total / weight for queue_id, (weight, total) in weighted.items()}


def _queue_cap(queue: Queue, backlogs: Sequence[Backlog], own: Backlog) -> float:
    """The slots that a queue's cap, and its rate at the mean cost of its jobs, let it have."""
    cap = inf if queue.cap is None else float(queue.cap)
    if queue.dispatches_per_minute is None:
        return cap
    jobs = own.jobs + sum(backlog.jobs for backlog in backlogs)
    work_us = own.work_us + sum(backlog.work_us for backlog in backlogs)
    mean_us = work_us / jobs if jobs else queue.expected_seconds * 1e6
    return min(cap, queue.dispatches_per_minute * mean_us / 60e6)


def _values(job: Job) -> dict[str, Any]:
    return {
        "tenant_id": job.tenant_id,
        "fair_key": job.fair_key,
        "queue_id": job.queue_id,
        "pool_id": job.queue.pool_id,
        "rank": job.rank,
        "job_id": job.pk,
        "limit": COUNT_LIMIT,
    }


def _fetch(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with prepared_cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
