"""The jobs of a pool's last hour, and those that wait and run in it now: what a what-if replays, without the terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from scheduling.conf import MERGE_BELOW_US, lease_seconds
from scheduling.fairness.simulation import Arrivals
from scheduling.fairness.simulation.load import SECOND_US
from scheduling.models import WorkerPool
from tenants.clock import read_clock
from tenants.ids import uuid7_floor

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

    def as_arrivals(self) -> Arrivals:
        """The jobs as a replay takes them; with keys only where there are any."""
        keys = self.key if any(key for _, _, key in self.keys) else None
        return Arrivals(self.at_us, self.entity, self.cost_us, self.predicted_us, keys)


@dataclass(frozen=True, slots=True)
class RecentJobs:
    """The jobs of a pool's last ``window``, without the terms under which they are served."""

    window: timedelta
    # (queue, tenant) by their ids, as the arrivals count them.
    places: Sequence[tuple[int, str]]
    arrivals: Arrivals
    slots: int
    running: int
    stands_for: int
    turnaround_us: int
    # Of how many arrivals so many have not run yet, and whether their tenants run jobs in other pools too.
    arrived: int
    unmeasured: int
    is_elsewhere: bool


def read_recent_jobs(pool: WorkerPool, window: timedelta) -> RecentJobs:
    """What a pool had to do and has: the dear part, six statements."""
    now = read_clock()
    with connection.cursor() as cursor:
        slots = _fetch(cursor, _SLOTS, [pool.pk, lease_seconds()])[0][0]
        running = _fetch(cursor, _RUNNING, [pool.pk])
        waiting = _shorten(_fetch(cursor, _WAITING, [pool.pk, LONGEST_LINE]), slots, window)
        arrivals = _fetch(cursor, _ARRIVALS, _arrival_parameters(pool.pk, now, window, waiting))
        turnaround = _fetch(cursor, _TURNAROUND, [pool.pk, uuid7_floor(now - window), MERGE_BELOW_US])[0][0]
        is_elsewhere = _fetch(cursor, _ELSEWHERE, [pool.pk, pool.pk])[0][0]
    columns, stands_for = _gather(running, waiting, arrivals, now)
    return RecentJobs(
        window=window,
        places=list(columns.places),
        arrivals=columns.as_arrivals(),
        slots=slots,
        running=len(running),
        stands_for=stands_for,
        turnaround_us=round(turnaround * SECOND_US),
        arrived=len(arrivals),
        unmeasured=sum(row[4] is None for row in arrivals),
        is_elsewhere=is_elsewhere,
    )


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
