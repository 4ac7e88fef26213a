"""Read the fair keys of the tenants that a pick may take from; a tenant without keys costs nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from psycopg.rows import namedtuple_row

from scheduling.fairness.run_queue import keys_to_read
from scheduling.fairness.shares import KeyShare, PoolShare, TenantShare
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_KEYS_FAIR, _KEYS_FIFO = _SQL["read_keys_fair"], _SQL["read_keys_fifo"]


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
    values = {
        "entity_ids": list(limits),
        "limits": list(limits.values()),
        "only": None if only is None else list(only),
    }
    with prepared_cursor(namedtuple_row) as cursor:
        cursor.execute(_KEYS_FIFO if is_fifo else _KEYS_FAIR, values)
        for row in cursor.fetchall():
            keys[row.parent_id].append(
                KeyShare(row.entity_id, row.vruntime, row.in_flight, row.head_rank, row.waiting, row.estimate_us)
            )
    unread = {found[-1].entity_id for entity_id, found in keys.items() if len(found) == limits[entity_id]}

    def with_keys(tenant: TenantShare) -> TenantShare:
        own = own_lines.get(tenant.entity_id)
        lines = [*([own] if own else []), *keys[tenant.entity_id]]
        return replace(tenant, keys=lines) if tenant.entity_id in own_lines else tenant

    queues = [replace(queue, tenants=[with_keys(tenant) for tenant in queue.tenants]) for queue in share.queues]
    return replace(share, queues=queues), unread
