"""Reads of the fair keys and the first jobs that a pick may take, with the predicted cost of each job.

A gate blocks single jobs of a tenant while its other jobs may start. A tick moves a blocked job to ``job_held`` under
the gate's name, so that it does not block the jobs behind it, and back in its old order when the gate opens. A job has
one gate at a time: the first of the fragment ``gate_before``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from psycopg.rows import namedtuple_row

from scheduling.conf import MERGE_BELOW_US
from scheduling.fairness.run_queue import keys_to_read
from scheduling.fairness.shares import KeyShare, PoolShare, ReadRows, ReadyJob, TenantShare
from scheduling.kit import registry
from tenants.database.prepared import fetch_all, prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_ROWS = _SQL["read_rows"]
_KEYS_FAIR, _KEYS_FIFO = _SQL["read_keys_fair"], _SQL["read_keys_fifo"]


def memory_gate_parameters() -> str:
    """Return the memory needs of kinds beyond the smallest memory class, as JSON: {kind: MiB}."""
    return json.dumps(registry.memory_needs())


@dataclass(frozen=True, slots=True)
class RowsReading:
    """The ready jobs that were read of each entity.

    ``gated`` has the entities with a job behind a gate, and how many of their jobs were read. ``kept`` are the entities
    with such a job that stayed in the ready table, because another transaction has locked it.
    """

    rows: Mapping[int, ReadRows]
    gated: Mapping[int, int]
    kept: Collection[int] = ()

    def keeping(self, entity_ids: Collection[int]) -> RowsReading:
        """Return a copy with these entities as ``kept``; the pick then takes no more of their jobs than were read."""
        kept = {id_: replace(self.rows[id_], asked=self.rows[id_].asked + 1) for id_ in entity_ids}
        return replace(self, rows={**self.rows, **kept}, kept=entity_ids) if kept else self


def read_rows(wanted: Mapping[int, int], *, kind: str | None = None, slice_us: int | None = None) -> RowsReading:
    """Return the first ``wanted`` ready jobs of each entity with their predicted costs, by one statement.

    With time slices a job's cost is at most one slice; further ones are charged when they are used.
    """
    jobs: dict[int, list[ReadyJob]] = defaultdict(list)
    hidden: set[int] = set()
    if not wanted:
        return RowsReading({}, {})
    with prepared_cursor(namedtuple_row) as cursor:
        values = {
            "entity_ids": list(wanted),
            "asked": list(wanted.values()),
            "kind": kind,
            "needs": memory_gate_parameters(),
        }
        cursor.execute(_ROWS, values)
        for row in cursor.fetchall():
            if row.gate is not None:
                hidden.add(row.entity_id)
                continue
            whole_us = row.predicted_us
            may_merge = whole_us < MERGE_BELOW_US and not row.travels_alone and registry.is_mergeable(row.kind)
            cost_us = whole_us if slice_us is None else min(whole_us, slice_us)
            jobs[row.entity_id].append(ReadyJob(row.job_id, row.rank, row.kind, cost_us, may_merge, whole_us))
    return RowsReading(
        # Behind a job that was set aside there may be others: claim no more than was seen.
        rows={
            entity_id: ReadRows(len(jobs[entity_id]) if entity_id in hidden else asked, jobs[entity_id])
            for entity_id, asked in wanted.items()
        },
        gated={entity_id: wanted[entity_id] for entity_id in hidden},
    )


def read_keys(
    share: PoolShare, own_lines: Mapping[int, KeyShare | None], only: Collection[int] | None, *, is_fifo: bool
) -> tuple[PoolShare, set[int]]:
    """Return a copy of the share with the keys of the tenants in ``own_lines``, and the keys whose jobs not to read.

    ``own_lines`` maps the entity of each tenant with keys to the node of its jobs without a key, or None if none is
    ready. If there are more keys than the tenant may have turns, the last key read stands for the rest: none of its
    jobs is read.
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
    for row in fetch_all(_KEYS_FIFO if is_fifo else _KEYS_FAIR, values):
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
