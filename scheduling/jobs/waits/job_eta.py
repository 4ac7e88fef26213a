"""The position of a waiting job in its tenant's order, and the estimate of its start.

Every read is bounded: jobs are counted up to a limit, the database groups tenants into backlogs that will be done at
about the same time, and there are never more executions in flight than slots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any

from scheduling.fairness.eta import (
    UNKNOWN_ERROR,
    Backlog,
    Estimate,
    EtaInput,
    PredictionError,
    QueueBacklogs,
    combine_errors,
    estimate_start,
    rate_cap,
)
from scheduling.jobs.waits.start_conditions import StartConditions
from scheduling.models import CFSPlan, Job, Queue
from scheduling.shares.entitlements import effective_weights
from tenants.context import all_tenants
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

# The most jobs that are counted; beyond it the number is "more than".
COUNT_LIMIT = 10_000

_SQL = load_sql(__file__)
_AHEAD = _SQL["count_ahead"]
_BEHIND = _SQL["count_behind"]
_QUEUE_AHEAD = _SQL["count_queue_ahead"]
_RUNNING = _SQL["read_running"]
_BACKLOGS = _SQL["read_backlogs"]
_OWN = _SQL["read_own"]


@dataclass(frozen=True, slots=True)
class JobsAhead:
    """The tenant's own jobs before one job, and their predicted slot time; ``is_more``: ``jobs`` is a lower bound.

    ``error`` is that of recent predictions of their kinds.
    """

    jobs: int
    work_us: int
    is_more: bool
    error: PredictionError = UNKNOWN_ERROR


@dataclass(frozen=True, slots=True)
class StartTime:
    """The estimated start of a job in seconds from now, with a band within which four of five jobs start.

    ``pool_position`` is about how many jobs of all tenants start before it, plus one.
    """

    eta_seconds: float
    low_seconds: float
    high_seconds: float
    pool_position: int


def read_ahead(job: Job) -> JobsAhead:
    """Return the jobs before this one in its tenant's order, by one statement, or two if they are too many."""
    values = _values(job)
    rows = fetch_all(_AHEAD, values)
    jobs, work_us = sum(row.jobs for row in rows), sum(row.jobs * row.mean_us for row in rows)
    error = combine_errors([(row.jobs, PredictionError(row.error, row.bias)) for row in rows])
    if jobs <= COUNT_LIMIT:
        return JobsAhead(jobs, work_us, is_more=False, error=error)
    line = fetch_all(_BEHIND, values)[0]
    # Counted from the near end; in the middle of a long line, estimated from both ends.
    least, others = jobs - 1, line.waiting - line.behind
    estimated = others - 1 if line.behind <= COUNT_LIMIT else (least + others) // 2
    estimated = max(least, estimated)
    return JobsAhead(least, work_us * estimated // jobs, is_more=True, error=error)


def read_start(
    job: Job, ahead: JobsAhead, standing: StartConditions, *, opens_at: datetime | None, is_time: bool
) -> StartTime | None:
    """Estimate when the job starts if no more jobs arrive; return None if no existing slots could ever run it.

    ``opens_at`` is when the last stop that keeps it from starting ends. ``is_time``: only the job itself waits for that
    time, so jobs before it are done meanwhile. Otherwise its tenant or queue is stopped, and they are done only
    afterwards.
    """
    # The work of all tenants decides the start; only the time is shown.
    with all_tenants(has_savepoint=False):
        estimate = estimate_start(_outlook(job, ahead, standing), ahead.error)
    if estimate is None:
        return None
    stopped_us = max(0.0, (opens_at - standing.now) / timedelta(microseconds=1)) if opens_at else 0.0

    def seconds(wait_us: float) -> float:
        return round((max(stopped_us, wait_us) if is_time else stopped_us + wait_us) / 1e6, 3)

    return StartTime(
        seconds(estimate.wait_us), seconds(estimate.low_us), seconds(estimate.high_us), _position(ahead, estimate)
    )


def _position(ahead: JobsAhead, estimate: Estimate) -> int:
    return ahead.jobs + round(estimate.others_jobs) + 1


def _outlook(job: Job, ahead: JobsAhead, standing: StartConditions) -> EtaInput:
    values = _values(job)
    queues = list(Queue.objects.filter(pool_id=job.queue.pool_id))
    plan = CFSPlan.objects.filter(is_active=True).prefetch_related("tiers").first()
    running = fetch_all(_RUNNING, values)
    backlogs, means = _backlogs(values)
    if plan is not None and plan.strategy == CFSPlan.Strategy.NOP:
        before = fetch_all(_QUEUE_AHEAD, values)[0]
        own, backlogs[job.queue_id] = Backlog(1.0, before.work_us, inf, before.jobs), []
    else:
        own = _own_backlog(values, ahead, standing, means.get(job.queue_id))
    weights = effective_weights(queues, plan)
    ordered = sorted(queues, key=lambda queue: queue.pk != job.queue_id)
    return EtaInput(
        slots=standing.slots,
        queues=[
            QueueBacklogs(weights[queue.pk], backlogs[queue.pk], _queue_cap(queue, backlogs[queue.pk], own))
            for queue in ordered
        ],
        own=own,
        running_us=[row.left_us for row in running],
        own_running_us=[row.left_us for row in running if job.tenant_id in row.tenant_ids],
    )


def _own_backlog(values: Mapping[str, Any], ahead: JobsAhead, standing: StartConditions, mean: float | None) -> Backlog:
    """Return the tenant's work before the job, plus its lead over the others in its queue."""
    rows = fetch_all(_OWN, values)
    weight, vruntime = (rows[0].weight, rows[0].vruntime) if rows else (1.0, 0)
    lead_us = 0.0 if mean is None else max(0.0, (vruntime - mean) / 1_000 * float(weight))
    return Backlog(float(weight), ahead.work_us + lead_us, standing.tenant_cap, ahead.jobs)


def _backlogs(values: Mapping[str, Any]) -> tuple[dict[int, Sequence[Backlog]], dict[int, float]]:
    """Return the others' backlogs by queue, and the weighted mean of their virtual times."""
    backlogs: dict[int, list[Backlog]] = defaultdict(list)
    weighted: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in fetch_all(_BACKLOGS, values):
        backlogs[row.queue_id].append(Backlog(row.weight, row.work_us, row.cap, row.jobs))
        weighted[row.queue_id][0] += row.weight
        weighted[row.queue_id][1] += row.weight * row.vruntime
    found: dict[int, Sequence[Backlog]] = defaultdict(list, backlogs)
    return found, {queue_id: total / weight for queue_id, (weight, total) in weighted.items()}


def _queue_cap(queue: Queue, backlogs: Sequence[Backlog], own: Backlog) -> float:
    """Return the slots that a queue's cap and its rate allow."""
    rate = rate_cap(queue.dispatches_per_minute, [own, *backlogs], default_us=queue.expected_seconds * 1e6)
    return min(inf if queue.cap is None else float(queue.cap), rate)


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
