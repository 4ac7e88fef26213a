"""Slots that the active plan reserves: who is below its entitlement, asked only where some are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from uuid import UUID

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements
from scheduling.fairness.shares import PoolShare
from scheduling.services.dispatching.weights import TENANT_WEIGHT
from tenants.prepared import prepared_cursor

# Whoever may be picked, and whoever runs: held at its cap, a tenant is not eligible and has its part all the same.
_DEMANDS = """
SELECT e.queue_id, e.tenant_id, <tenant weight>, coalesce(t.max_concurrency, p.max_concurrency)
FROM scheduling_schedulingentity e JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
WHERE e.id = ANY(%(eligible)s) OR e.id = ANY(ARRAY(
    SELECT coalesce(line.parent_id, line.id) FROM scheduling_execution_live l
        JOIN scheduling_schedulingentity line ON line.id = l.entity_id
    WHERE l.pool_id = %(pool_id)s))
""".replace("<tenant weight>", TENANT_WEIGHT)


def with_reserve(
    share: PoolShare, pool_id: int, *, slots: int, free: int, reserved: int, queue_caps: Mapping[int, int | None]
) -> PoolShare:
    """The pool with its tenants' entitlements, reckoned over those read and those that run.

    Of the ``free`` slots, ``reserved`` are kept; the share's room may be less than what is free.
    """
    kept = min(share.room, reserved - (free - share.room))
    if kept <= 0:
        return share
    by_queue: dict[int, list[TenantDemand[UUID]]] = defaultdict(list)
    with prepared_cursor() as cursor:
        eligible = [tenant.entity_id for queue in share.queues for tenant in queue.tenants]
        cursor.execute(_DEMANDS, {"eligible": eligible, "pool_id": pool_id})
        for queue_id, tenant_id, weight_milli, cap in cursor.fetchall():
            by_queue[queue_id].append(TenantDemand(tenant_id, weight_milli / 1_000, cap))
    demands = []
    for queue in share.queues:
        cap = queue_caps[queue.queue_id]
        tenants = by_queue[queue.queue_id]
        demands.append(QueueDemand(queue.queue_id, queue.weight_milli / 1_000, inf if cap is None else cap, tenants))
    entitled = entitlements(slots, [demand for demand in demands if demand.tenants])
    queues = [
        replace(
            queue,
            tenants=[
                replace(tenant, entitled_slots=entitled.get((queue.queue_id, tenant.tenant_id), 0.0))
                for tenant in queue.tenants
            ],
        )
        for queue in share.queues
    ]
    return replace(share, queues=queues, reserved=kept)
