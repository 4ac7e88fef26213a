"""Read the fair keys of the tenants that a pick may take from; a tenant without keys costs nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from scheduling.fairness.run_queue import keys_to_read
from scheduling.fairness.shares import KeyShare, PoolShare, TenantShare
from tenants.prepared import prepared_cursor

_KEYS = """
SELECT e.id, k.id, k.vruntime, k.in_flight, k.head_rank, k.waiting, k.estimate_us
FROM unnest(%(entity_ids)s::bigint[], %(limits)s::int[]) AS e(id, n) CROSS JOIN LATERAL (
    SELECT * FROM scheduling_schedulingentity k
    WHERE k.parent_id = e.id AND k.is_runnable AND (%(only)s::bigint[] IS NULL OR k.id = ANY(%(only)s))
    ORDER BY {order} LIMIT e.n
) k
"""
_FAIR_ORDER = "k.vruntime, k.in_flight, k.head_rank, k.id"
_FIFO_ORDER = "k.head_rank, k.in_flight, k.id"


def read_keys(
    share: PoolShare, own_lines: Mapping[int, KeyShare | None], only: Collection[int] | None, *, is_fifo: bool
) -> tuple[PoolShare, set[int]]:
    """The pool with the keys of the tenants in ``own_lines``, and those keys that mark where reading ended.

    ``own_lines`` has for each tenant with keys the line of its jobs without one, if any is ready. Where there are
    more keys than a tenant may have turns, the last one read stands for those behind it: no job of it is read.
    """
    if not own_lines:
        return share, set()
    limits = {entity_id: count + 1 for entity_id, count in keys_to_read(share, own_lines).items()}
    keys: dict[int, list[KeyShare]] = defaultdict(list)
    with prepared_cursor() as cursor:
        cursor.execute(
            _KEYS.format(order=_FIFO_ORDER if is_fifo else _FAIR_ORDER),
            {
                "entity_ids": list(limits),
                "limits": list(limits.values()),
                "only": None if only is None else list(only),
            },
        )
        for entity_id, *numbers in cursor.fetchall():
            keys[entity_id].append(KeyShare(*numbers))
    unread = {found[-1].entity_id for entity_id, found in keys.items() if len(found) == limits[entity_id]}

    def with_keys(tenant: TenantShare) -> TenantShare:
        own = own_lines.get(tenant.entity_id)
        lines = [*([own] if own else []), *keys[tenant.entity_id]]
        return replace(tenant, keys=lines) if tenant.entity_id in own_lines else tenant

    queues = [replace(queue, tenants=[with_keys(tenant) for tenant in queue.tenants]) for queue in share.queues]
    return replace(share, queues=queues), unread
