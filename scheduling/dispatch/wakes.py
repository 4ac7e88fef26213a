"""News for the dispatcher about entities whose eligibility may have changed.

Whoever changes what may run appends to ``Wake`` in the transaction of the change; the tick
consumes it and looks at the truth anew. Row locks and conditional flags lost wake-ups or made
the tick wait for open submissions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import transaction

from scheduling.dispatch.broker import wake_dispatcher
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql
from tenants.signals import tenant_scheduling_changed

_SQL = load_sql(__file__)
_APPEND_WAKES, _WAKE_TENANTS = _SQL["append_wakes"], _SQL["wake_tenants"]
# More tenants than this at once are bulk: they are looked at after the news of single jobs.
BULK_TENANTS = 100


def append_wakes(rows: Sequence[tuple[UUID, int, int, int]]) -> None:
    """Append (tenant, entity, queue, change of its waiting jobs) within this transaction."""
    names = ("tenant_ids", "entity_ids", "queue_ids", "waiting_deltas")
    with prepared_cursor() as cursor:
        cursor.execute(_APPEND_WAKES, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def wake_on_commit(queues: Iterable[str] = (), *, is_filled: bool = False) -> None:
    """Wake the dispatcher once this transaction is committed; what about is as :func:`wake_dispatcher` takes it."""
    named = frozenset(queues)
    transaction.on_commit(lambda: wake_dispatcher(named, is_filled=is_filled))


def wake_tenants(*, tenant_ids: Sequence[UUID]) -> None:
    """Have the tick look anew at every queue of these tenants, within this transaction."""
    with prepared_cursor() as cursor:
        cursor.execute(_WAKE_TENANTS, {"is_bulk": len(tenant_ids) > BULK_TENANTS, "tenant_ids": list(tenant_ids)})
    wake_on_commit()


def listen_to_tenants() -> None:
    """Follow changes of weight, cap, pause and suspension that the tenants app makes."""

    def on_change(*, tenant_ids: Sequence[UUID], **_: object) -> None:
        wake_tenants(tenant_ids=tenant_ids)

    tenant_scheduling_changed.connect(on_change, weak=False, dispatch_uid="scheduling.wakes.listen_to_tenants")
