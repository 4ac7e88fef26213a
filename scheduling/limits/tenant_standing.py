"""How a tenant stands as a submission begins: what waits, what it has used, its own lines, and what drains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import namedtuple_row

from scheduling.limits.declared import WORKER_SECONDS
from scheduling.stops.drains import Drains
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_READ_STANDING = load_sql(__file__)["read_standing"]


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
    with prepared_cursor(namedtuple_row) as cursor:
        cursor.execute(_READ_STANDING, {"tenant_id": tenant_id, "key": WORKER_SECONDS.key})
        row = cursor.fetchone()
    return TenantStanding(
        now=row.now,
        waiting=int(row.waiting),
        used_us=row.used_us,
        lines=dict(zip(row.queue_ids or (), row.ids or (), strict=True)),
        drains=Drains.of(row.now, row.drains or ()),
    )
