"""What the tree gives each tenant, written down every few seconds: entitlements of a time cannot be reckoned later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from uuid import UUID

from django.db import connection

from scheduling.conf import lease_seconds
from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements
from scheduling.fairness.lag import Standing, lags_us
from scheduling.services.dispatching.weights import QUEUE_WEIGHT
from scheduling.services.leadership import lead
from tenants.context import all_tenants

SAMPLE_LOCK = 0x73686172
SAMPLE_SECONDS = 10.0
# Another dispatcher that has sampled since this spares the others the work.
FRESH_SECONDS = 0.8 * SAMPLE_SECONDS
# Time that nobody looked at is not made up.
LONGEST_GAP = timedelta(minutes=1)
# Demands that a sample looks at, and of those the ones of the greatest entitlements that are kept.
DEMAND_LIMIT = 5_000
KEPT = 50

_TURN = """
SELECT now(), shares_sampled_at,
    NOT EXISTS (SELECT FROM scheduling_cfsplan WHERE is_active AND strategy <> 'nop')
FROM scheduling_rollup_clock
WHERE shares_sampled_at IS NULL OR shares_sampled_at < now() - make_interval(secs => %s)
"""
_SLOTS = """
SELECT w.pool_id, sum(w.slots) FROM scheduling_worker w JOIN scheduling_workerpool p ON p.id = w.pool_id
WHERE w.status = 'online' AND w.heartbeat_at > now() - make_interval(secs => %s) AND NOT p.is_paused
    AND NOT EXISTS (SELECT FROM scheduling_drain d WHERE d.scope = 'pool' AND d.name = p.name)
GROUP BY 1
"""
_QUEUES = f"SELECT q.id, q.pool_id, {QUEUE_WEIGHT}, q.cap FROM scheduling_queue q WHERE NOT q.is_paused"  # noqa: S608 - our own text
# Whoever is runnable, by the index of the fair order, and whoever runs: held at its cap, a tenant is not runnable.
_DEMANDS = """
WITH wanted AS (
    (SELECT id FROM scheduling_schedulingentity WHERE is_runnable AND parent_id IS NULL
     ORDER BY queue_id, vruntime LIMIT %(limit)s)
    UNION
    SELECT DISTINCT coalesce(line.parent_id, line.id)
    FROM scheduling_execution_live l JOIN scheduling_schedulingentity line ON line.id = l.entity_id
)
SELECT e.queue_id, e.tenant_id, e.weight_milli, e.vruntime,
    e.is_runnable OR (e.waiting + e.keys_waiting > 0 AND e.in_flight + e.keys_in_flight > 0),
    coalesce(t.max_concurrency, p.max_concurrency)
FROM wanted JOIN scheduling_schedulingentity e USING (id)
    JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
"""
_ADD = """
INSERT INTO scheduling_share_minute AS r (tenant_id, minute, queue_id, entitled_us, backlogged_us, lag_us)
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
ON CONFLICT (tenant_id, minute, queue_id) DO UPDATE SET entitled_us = r.entitled_us + excluded.entitled_us,
    backlogged_us = r.backlogged_us + excluded.backlogged_us, lag_us = coalesce(excluded.lag_us, r.lag_us)
"""


@dataclass(frozen=True, slots=True)
class Demand:
    """A tenant that wants service in a queue, as the database has it now."""

    queue_id: int
    tenant_id: UUID
    weight_milli: int
    vruntime: int
    is_backlogged: bool
    cap: int


@dataclass(frozen=True, slots=True)
class _Queue:
    queue_id: int
    pool_id: int
    weight: int
    cap: int | None


def sample_shares() -> int:
    """Add the time since the last sample to the minutes it lies in; how many rows were written.

    0 while another dispatcher samples, has just done so, or the active plan serves in order of arrival.
    """
    with all_tenants():
        if not lead(SAMPLE_LOCK):
            return 0
        with connection.cursor() as cursor:
            cursor.execute(_TURN, [FRESH_SECONDS])
            turn = cursor.fetchone()
            if turn is None:
                return 0
            now, last, is_off = turn
            cursor.execute("UPDATE scheduling_rollup_clock SET shares_sampled_at = now()")
        if last is None or is_off:
            return 0
        rows = list(_rows(_read_demands(), max(last, now - LONGEST_GAP), now))
        if rows:
            with connection.cursor() as cursor:
                cursor.execute(_ADD, [list(column) for column in zip(*rows, strict=True)])
    return len(rows)


def _rows(demands: Sequence[Demand], since: datetime, until: datetime) -> Iterator[tuple[object, ...]]:
    shares = share_out(demands, *_read_pools())
    lags = _lags(demands)
    kept = sorted(shares.items(), key=lambda share: (-share[1], share[0]))[:KEPT]
    backlogged = {(row.queue_id, row.tenant_id) for row in demands if row.is_backlogged}
    for minute, length in split_by_minute(since, until):
        span_us = length // timedelta(microseconds=1)
        for key, slots in kept:
            queue_id, tenant_id = key
            waited_us = span_us if key in backlogged else 0
            yield tenant_id, minute, queue_id, round(slots * span_us), waited_us, lags.get(key)


def share_out(
    demands: Sequence[Demand], slots_by_pool: Mapping[int, int], queues: Sequence[_Queue]
) -> dict[tuple[int, UUID], float]:
    """Slots by (queue, tenant), pool by pool."""
    wanting: dict[int, list[TenantDemand]] = defaultdict(list)
    for row in demands:
        wanting[row.queue_id].append(TenantDemand(row.tenant_id, row.weight_milli / 1000, row.cap))
    shares: dict[tuple[int, UUID], float] = {}
    for pool_id, slots in slots_by_pool.items():
        of_pool = [
            QueueDemand(queue.queue_id, queue.weight, inf if queue.cap is None else queue.cap, wanting[queue.queue_id])
            for queue in queues
            if queue.pool_id == pool_id and wanting[queue.queue_id]
        ]
        shares |= entitlements(slots, of_pool)
    return shares


def split_by_minute(since: datetime, until: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """The minutes that [since, until) touches, each with how long of it."""
    minute = since.replace(second=0, microsecond=0)
    while minute < until:
        following = minute + timedelta(minutes=1)
        yield minute, min(until, following) - max(since, minute)
        minute = following


def _lags(demands: Sequence[Demand]) -> dict[tuple[int, UUID], int]:
    by_queue: dict[int, list[Standing]] = defaultdict(list)
    for row in demands:
        if row.is_backlogged:
            by_queue[row.queue_id].append(Standing(row.tenant_id, row.weight_milli, row.vruntime))
    return {
        (queue_id, tenant_id): lag
        for queue_id, standings in by_queue.items()
        for tenant_id, lag in lags_us(standings).items()
    }


def _read_demands() -> list[Demand]:
    with connection.cursor() as cursor:
        cursor.execute(_DEMANDS, {"limit": DEMAND_LIMIT})
        return [Demand(*row) for row in cursor.fetchall()]


def _read_pools() -> tuple[dict[int, int], list[_Queue]]:
    with connection.cursor() as cursor:
        cursor.execute(_SLOTS, [lease_seconds()])
        slots = {pool_id: int(slots) for pool_id, slots in cursor.fetchall()}
        cursor.execute(_QUEUES)
        queues = [_Queue(*row) for row in cursor.fetchall()]
    return slots, queues
