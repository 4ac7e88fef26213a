"""Slots that the active CFS plan reserves for tenants below their entitlement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from uuid import UUID

from psycopg.rows import namedtuple_row

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements
from scheduling.fairness.shares import PoolShare
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_DEMANDS = load_sql(__file__)["read_demands"]


def with_reserve(
    share: PoolShare, pool_id: int, *, slots: int, free: int, reserved: int, queue_caps: Mapping[int, int | None]
) -> PoolShare:
    """Return a copy of the share with the entitlement of each tenant and the number of reserved slots.

    Entitlements are computed over the tenants read and those with running jobs. Of the ``free`` slots, ``reserved`` are
    kept; the share's room may be less than ``free``.
    """
    kept = min(share.room, reserved - (free - share.room))
    if kept <= 0:
        return share
    by_queue: dict[int, list[TenantDemand[UUID]]] = defaultdict(list)
    with prepared_cursor(namedtuple_row) as cursor:
        eligible = [tenant.entity_id for queue in share.queues for tenant in queue.tenants]
        cursor.execute(_DEMANDS, {"eligible": eligible, "pool_id": pool_id})
        for row in cursor.fetchall():
            by_queue[row.queue_id].append(TenantDemand(row.tenant_id, row.weight_milli / 1_000, row.cap))
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
