"""News for the dispatcher about entities whose eligibility may have changed.

Whoever changes what may run appends to ``Wake`` in the transaction of the change; the tick
consumes it and looks at the truth anew. Row locks and conditional flags lost wake-ups or made
the tick wait for open submissions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import transaction

from scheduling.broker import wake_dispatcher
from tenants.prepared import prepared_cursor
from tenants.signals import tenant_scheduling_changed

_WAKE_TENANTS = """
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta, is_bulk)
    SELECT tenant_id, id, queue_id, 0, %s FROM scheduling_schedulingentity
    WHERE tenant_id = ANY(%s) AND parent_id IS NULL
    -- Those first whom something keeps waiting: weights and caps are read anew at each pick anyway.
    ORDER BY waiting + keys_waiting = 0, is_runnable
"""
# More tenants than this at once are bulk: they are looked at after the news of single jobs.
BULK_TENANTS = 100


def append_wakes(rows: Sequence[tuple[UUID, int, int, int]]) -> None:
    """Append (tenant, entity, queue, change of its waiting jobs) within this transaction."""
    with prepared_cursor() as cursor:
        cursor.execute(
            "INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)"
            " SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::int[])",
            [list(column) for column in zip(*rows, strict=True)],
        )


def wake_on_commit(queues: Iterable[str] = (), *, is_filled: bool = False) -> None:
    """Wake the dispatcher once this transaction is committed; what about is as :func:`wake_dispatcher` takes it."""
    named = frozenset(queues)
    transaction.on_commit(lambda: wake_dispatcher(named, is_filled=is_filled))


def wake_tenants(*, tenant_ids: Sequence[UUID]) -> None:
    """Have the tick look anew at every queue of these tenants, within this transaction."""
    with prepared_cursor() as cursor:
        cursor.execute(_WAKE_TENANTS, [len(tenant_ids) > BULK_TENANTS, list(tenant_ids)])
    wake_on_commit()


def listen_to_tenants() -> None:
    """Follow changes of weight, cap, pause and suspension that the tenants app makes."""

    def on_change(*, tenant_ids: Sequence[UUID], **_: object) -> None:
        wake_tenants(tenant_ids=tenant_ids)

    tenant_scheduling_changed.connect(on_change, weak=False, dispatch_uid="scheduling.wakes.listen_to_tenants")
