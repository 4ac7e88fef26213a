"""Memory that the running jobs of a tenant may need together: jobs beyond the limit stay ready.

A message needs the memory class of its kind, and has it from its dispatch to its settlement. Messages of I/O pools
need none of their own. The tenant stays eligible, because the end of any of its jobs may let the next one start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from scheduling.dispatch.pick import RowsReading, memory_gate_parameters
from scheduling.dispatch.read import PoolReading
from scheduling.fairness.shares import Pick, PoolShare, ReadRows
from scheduling.kit import registry
from scheduling.kit.base import MEMORY_MIB
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

_ROOM = load_sql(__file__)["read_memory_room"]


def need_of(kind: str) -> int:
    """Return the memory in MiB that a message with jobs of the kind needs."""
    return registry.memory_needs().get(kind, MEMORY_MIB["small"])


def within_memory(reading: PoolReading, found: RowsReading) -> tuple[PoolShare, RowsReading]:
    """Return what to pick from: those jobs and messages of each tenant for which its limit of memory has room.

    The room is divided by the largest need of a tenant's jobs, so that any choice of them fits. The reading itself
    keeps the room by caps, because a tenant without memory stays eligible.
    """
    owners = _owners(reading)
    room = read_memory_room(set(owners.values()))
    rows, kept = dict(found.rows), set(found.kept)
    largest: dict[UUID, int] = {}
    for entity_id, read in found.rows.items():
        if (left := room.get(tenant_id := owners[entity_id])) is None:
            continue
        jobs = [job for job in read.jobs if need_of(job.kind) <= left]
        largest[tenant_id] = max([largest.get(tenant_id, 0), *(need_of(job.kind) for job in jobs)])
        if len(jobs) < len(read.jobs):
            # More may follow behind what was read.
            rows[entity_id] = ReadRows(len(jobs) + 1, jobs)
            kept.add(entity_id)
    fitting = {tenant_id: room[tenant_id] // need for tenant_id, need in largest.items() if need}
    tenant_room = {
        tenant_id: min(messages, fitting.get(tenant_id, messages))
        for tenant_id, messages in reading.share.tenant_room.items()
    }
    return replace(reading.share, tenant_room=tenant_room), replace(found, rows=rows, kept=kept)


def tenants_beyond_memory(picks: Sequence[Pick]) -> set[UUID]:
    """Return the tenants whose picked messages exceed their limit by now; call it with their capacities reserved."""
    room = read_memory_room({pick.tenant_id for pick in picks})
    needs: Counter[UUID] = Counter()
    for tenant_id, _, need in {(pick.tenant_id, pick.message, need_of(pick.job.kind)) for pick in picks}:
        needs[tenant_id] += need
    return {tenant_id for tenant_id, left in room.items() if needs[tenant_id] > left}


def read_memory_room(tenant_ids: Collection[UUID]) -> Mapping[UUID, int]:
    """Return the MiB that these tenants' further messages may need, of those that have a limit; it may be negative."""
    rows = fetch_all(_ROOM, {"tenant_ids": list(tenant_ids), "needs": memory_gate_parameters()})
    return {row.tenant_id: row.room for row in rows}


def _owners(reading: PoolReading) -> dict[int, UUID]:
    """Return the tenant of each fair-share node that was read."""
    tenants = [tenant for queue in reading.share.queues for tenant in queue.tenants]
    owners = {tenant.entity_id: tenant.tenant_id for tenant in tenants}
    return owners | {key.entity_id: tenant.tenant_id for tenant in tenants for key in tenant.keys}
