"""Who wants service in each queue at this moment, and what the tree gives the greatest of them.

Up to DEMAND_LIMIT tenants are reckoned one by one. Of more, those that only wait are counted by weight and cap: equal
ones are given equal parts, so a class of n stands for n, and only of the classes that come out first the tenants are
read. What a sample costs then is one pass over those that wait, and not one share each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.conf import lease_seconds
from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements
from scheduling.fairness.virtual_time import MILLI, UNITS_PER_MICROSECOND
from scheduling.services.dispatching.weights import QUEUE_WEIGHT

DEMAND_LIMIT = 5_000

_SLOTS = """
SELECT w.pool_id, sum(w.slots) FROM scheduling_worker w JOIN scheduling_workerpool p ON p.id = w.pool_id
WHERE w.status = 'online' AND w.heartbeat_at > now() - make_interval(secs => %s) AND NOT p.is_paused
    AND NOT EXISTS (SELECT FROM scheduling_drain d WHERE d.scope = 'pool' AND d.name = p.name)
GROUP BY 1
"""
_QUEUES = f"SELECT q.id, q.pool_id, {QUEUE_WEIGHT}, q.cap FROM scheduling_queue q WHERE NOT q.is_paused"  # noqa: S608 - our own text
# Held at its cap, a tenant is not runnable, and is there by what runs of it.
_RUNNING = """
    SELECT DISTINCT coalesce(line.parent_id, line.id) AS id
    FROM scheduling_execution_live l JOIN scheduling_schedulingentity line ON line.id = l.entity_id
"""
_CAP = "coalesce(t.max_concurrency, p.max_concurrency)"
_OF_TENANT = "JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id"
_DEMANDS = f"""
WITH wanted AS (
    (SELECT id FROM scheduling_schedulingentity WHERE is_runnable AND parent_id IS NULL LIMIT %(limit)s)
    UNION {_RUNNING}
)
SELECT e.queue_id, e.tenant_id, e.weight_milli, {_CAP}, e.vruntime,
    e.is_runnable OR (e.waiting + e.keys_waiting > 0 AND e.in_flight + e.keys_in_flight > 0)
FROM wanted JOIN scheduling_schedulingentity e USING (id) {_OF_TENANT}
"""  # noqa: S608 - our own text
_CLASSES = f"""
WITH running AS ({_RUNNING})
SELECT e.queue_id, e.weight_milli, {_CAP}, count(*), sum(e.weight_milli::numeric * e.vruntime)
FROM scheduling_schedulingentity e {_OF_TENANT}
WHERE e.is_runnable AND e.parent_id IS NULL AND NOT EXISTS (SELECT FROM running r WHERE r.id = e.id)
GROUP BY 1, 2, 3
"""  # noqa: S608 - our own text
_MEMBERS = f"""
WITH running AS ({_RUNNING}), member AS (
    SELECT c.n, c.most, e.tenant_id, e.vruntime, row_number() OVER (PARTITION BY c.n ORDER BY e.tenant_id) AS place
    FROM scheduling_schedulingentity e {_OF_TENANT}
        JOIN unnest(%(queue_ids)s::bigint[], %(weights)s::int[], %(caps)s::int[], %(most)s::int[])
            WITH ORDINALITY AS c(queue_id, weight_milli, cap, most, n)
            ON c.queue_id = e.queue_id AND c.weight_milli = e.weight_milli AND c.cap = {_CAP}
    WHERE e.is_runnable AND e.parent_id IS NULL AND NOT EXISTS (SELECT FROM running r WHERE r.id = e.id)
)
SELECT n - 1, tenant_id, vruntime FROM member WHERE place <= most ORDER BY n, place
"""  # noqa: S608 - our own text


@dataclass(frozen=True, slots=True)
class Demand:
    """``count`` equal tenants that want service in a queue; ``served`` sums weight times virtual time over them."""

    queue_id: int
    tenant_id: UUID | None
    weight_milli: int
    cap: int
    is_backlogged: bool
    count: int
    served: int


@dataclass(frozen=True, slots=True)
class Entitled:
    """The slots that the tree gives a tenant in a queue, and how far it is from its ideal share while backlogged."""

    queue_id: int
    tenant_id: UUID
    slots: float
    is_backlogged: bool
    lag_us: int | None


@dataclass(frozen=True, slots=True)
class _Queue:
    queue_id: int
    pool_id: int
    weight: int
    cap: int | None


def read_greatest(most: int) -> list[Entitled]:
    """The greatest entitlements of all pools, at most so many."""
    demands = _read_demands()
    ideals = _ideals(demands)
    ranked = sorted(_share_out(demands), key=lambda row: (-row[1], row[0].queue_id, str(row[0].tenant_id)))
    chosen = list(_first(ranked, most))
    members = _read_members([(demand, count) for demand, _, count in chosen if demand.tenant_id is None])
    return [
        _entitled(demand, tenant_id, vruntime, slots, ideals)
        for demand, slots, _ in chosen
        for tenant_id, vruntime in (
            members[demand] if demand.tenant_id is None else [(demand.tenant_id, demand.served // demand.weight_milli)]
        )
    ]


def _entitled(
    demand: Demand, tenant_id: UUID, vruntime: int, slots: float, ideals: Mapping[int, tuple[int, int]]
) -> Entitled:
    lag_us = None
    if demand.is_backlogged:
        served, weights = ideals[demand.queue_id]
        # The mean is kept as a fraction of integers: a float would lose microseconds of a virtual time.
        lag_us = demand.weight_milli * (served - vruntime * weights) // (weights * UNITS_PER_MICROSECOND * MILLI)
    return Entitled(demand.queue_id, tenant_id, slots, demand.is_backlogged, lag_us)


def _ideals(demands: Iterable[Demand]) -> dict[int, tuple[int, int]]:
    """By queue what its backlogged tenants were served, times their weights, and the sum of their weights."""
    ideals: dict[int, tuple[int, int]] = {}
    for demand in demands:
        if demand.is_backlogged:
            served, weights = ideals.get(demand.queue_id, (0, 0))
            ideals[demand.queue_id] = served + demand.served, weights + demand.count * demand.weight_milli
    return ideals


def _first(ranked: Iterable[tuple[Demand, float]], most: int) -> Iterator[tuple[Demand, float, int]]:
    """The first demands with the slots of each tenant, and how many of its tenants are among the ``most``."""
    for demand, slots in ranked:
        if most <= 0:
            return
        yield demand, slots, min(most, demand.count)
        most -= demand.count


def _share_out(demands: Sequence[Demand]) -> Iterator[tuple[Demand, float]]:
    """The slots of each tenant of every demand, pool by pool."""
    slots_by_pool, queues = _read_pools()
    wanting: dict[int, list[TenantDemand]] = defaultdict(list)
    by_key: dict[tuple[int, UUID], Demand] = {}
    for number, row in enumerate(demands):
        tenant_id = row.tenant_id or UUID(int=number)
        by_key[row.queue_id, tenant_id] = row
        # Water that fills n equal vessels alike fills one that is n times as wide.
        wanting[row.queue_id].append(TenantDemand(tenant_id, row.count * row.weight_milli / 1000, row.count * row.cap))
    for pool_id, slots in slots_by_pool.items():
        of_pool = [
            QueueDemand(queue.queue_id, queue.weight, inf if queue.cap is None else queue.cap, wanting[queue.queue_id])
            for queue in queues
            if queue.pool_id == pool_id and wanting[queue.queue_id]
        ]
        for key, share in entitlements(slots, of_pool).items():
            yield by_key[key], share / by_key[key].count


def _read_demands() -> list[Demand]:
    """All of them, as many rows as there are tenants up to the limit, and beyond it as there are classes."""
    demands = _read_tenants(DEMAND_LIMIT + 1)
    if len(demands) <= DEMAND_LIMIT:
        return demands
    with connection.cursor() as cursor:
        cursor.execute(_CLASSES)
        classes = [
            Demand(queue_id, None, weight, cap, is_backlogged=True, count=count, served=int(served))
            for queue_id, weight, cap, count, served in cursor.fetchall()
        ]
    return _read_tenants(0) + classes


def _read_tenants(limit: int) -> list[Demand]:
    """Those that run, and of those that wait at most so many."""
    with connection.cursor() as cursor:
        cursor.execute(_DEMANDS, {"limit": limit})
        return [
            Demand(queue_id, tenant_id, weight, cap, is_backlogged, count=1, served=weight * vruntime)
            for queue_id, tenant_id, weight, cap, vruntime, is_backlogged in cursor.fetchall()
        ]


def _read_members(wanted: Sequence[tuple[Demand, int]]) -> dict[Demand, list[tuple[UUID, int]]]:
    """The first tenants of each class with their virtual times."""
    members: dict[Demand, list[tuple[UUID, int]]] = defaultdict(list)
    if not wanted:
        return members
    values: dict[str, Any] = {
        "queue_ids": [demand.queue_id for demand, _ in wanted],
        "weights": [demand.weight_milli for demand, _ in wanted],
        "caps": [demand.cap for demand, _ in wanted],
        "most": [count for _, count in wanted],
    }
    with connection.cursor() as cursor:
        cursor.execute(_MEMBERS, values)
        for position, tenant_id, vruntime in cursor.fetchall():
            members[wanted[position][0]].append((tenant_id, vruntime))
    return members


def _read_pools() -> tuple[dict[int, int], list[_Queue]]:
    with connection.cursor() as cursor:
        cursor.execute(_SLOTS, [lease_seconds()])
        slots = {pool_id: int(slots) for pool_id, slots in cursor.fetchall()}
        cursor.execute(_QUEUES)
        queues = [_Queue(*row) for row in cursor.fetchall()]
    return slots, queues
