"""Wake rows: they name the entities that the dispatcher must read again, because these may have become able to run.

A transaction that changes what may run appends to ``Wake``. The tick deletes the rows and reads every entity that they
name again: whether it may be picked, and from which virtual time. Row locks and conditional flags, used instead, lost
wake-ups or made the tick wait for open submissions.

An entity that becomes eligible again starts at the virtual time of its siblings, among the tenants of its queue as
among the keys of its tenant: waiting earns no credit.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from scheduling.dispatch.broker import wake_on_commit
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql
from tenants.signals import tenant_scheduling_changed

_SQL = load_sql(__file__)
_APPEND_WAKES, _WAKE_TENANTS, _WAKE_POOL = _SQL["append_wakes"], _SQL["wake_tenants"], _SQL["wake_pool"]

# More tenants at once are bulk, and are folded after the news of single jobs.
BULK_TENANTS = 100


def append_wakes(rows: Sequence[tuple[UUID, int, int, int]]) -> None:
    """Append wake rows (tenant, entity, queue, change of its number of waiting jobs) within this transaction."""
    names = ("tenant_ids", "entity_ids", "queue_ids", "waiting_deltas")
    with prepared_cursor() as cursor:
        cursor.execute(_APPEND_WAKES, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def wake_tenants(*, tenant_ids: Sequence[UUID]) -> None:
    """Append a wake row for each queue of these tenants; the dispatcher is woken when this transaction commits."""
    with prepared_cursor() as cursor:
        cursor.execute(_WAKE_TENANTS, {"is_bulk": len(tenant_ids) > BULK_TENANTS, "tenant_ids": list(tenant_ids)})
    wake_on_commit()


def wake_pool(pool_id: int) -> None:
    """Append a wake row for each tenant with waiting jobs in the pool; the dispatcher is woken at the commit."""
    with prepared_cursor() as cursor:
        cursor.execute(_WAKE_POOL, {"pool_id": pool_id})
    wake_on_commit()


def connect_tenant_signals() -> None:
    """Connect `wake_tenants` to the signal that a tenant's weight, cap, pause or suspension has changed."""

    def on_change(*, tenant_ids: Sequence[UUID], **_: object) -> None:
        wake_tenants(tenant_ids=tenant_ids)

    tenant_scheduling_changed.connect(on_change, weak=False, dispatch_uid="scheduling.wakes.listen_to_tenants")
