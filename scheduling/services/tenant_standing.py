"""How a tenant stands as a submission begins: what waits, what it has used, its own lines, and what drains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from scheduling.limits import WORKER_SECONDS
from scheduling.services.drains import DRAINS_OF_SUBMISSIONS, Drains
from tenants.prepared import prepared_cursor

# The tick folds wakes into the entities; what it has not folded yet counts too.
_STANDING = f"""
    SELECT now(), line.waiting
        + (SELECT coalesce(sum(waiting_delta), 0) FROM scheduling_wake WHERE tenant_id = %(tenant_id)s),
        (SELECT coalesce(sum(amount), 0)::bigint FROM tenants_tenantusage WHERE tenant_id = %(tenant_id)s
            AND key = %(key)s AND period = date_trunc('month', now() AT TIME ZONE 'UTC')::date),
        line.queue_ids, line.ids, ({DRAINS_OF_SUBMISSIONS})
    FROM (SELECT coalesce(sum(waiting + keys_waiting), 0) AS waiting, array_agg(queue_id) AS queue_ids,
            array_agg(id) AS ids
        FROM scheduling_schedulingentity WHERE tenant_id = %(tenant_id)s AND parent_id IS NULL) AS line
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class TenantStanding:
    """At ``now`` by the database's clock.

    ``waiting`` jobs, ``used_us`` of worker time in this month, and the tenant's own lines by their queues, without
    those of fair keys.
    """

    now: datetime
    waiting: int
    used_us: int
    lines: Mapping[int, int]
    drains: Drains


def read_standing(tenant_id: UUID) -> TenantStanding:
    """Return how the tenant stands now, by one statement in the tenant's transaction."""
    with prepared_cursor() as cursor:
        cursor.execute(_STANDING, {"tenant_id": tenant_id, "key": WORKER_SECONDS.key})
        now, waiting, used_us, queue_ids, ids, drains = cursor.fetchone()
    lines = dict(zip(queue_ids or (), ids or (), strict=True))
    return TenantStanding(now, int(waiting), used_us, lines, Drains.of(now, drains or ()))
