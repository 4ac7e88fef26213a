"""Start-time fair queueing over the tree pool → queue → tenant → fair key.

Values at the boundary are frozen; inside, lists and heaps do the work (frozen values
replaced at each step were six times slower).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from scheduling.fairness.shares import (
    KeyShare,
    Pick,
    PickResult,
    PoolShare,
    QueueTags,
    ReadRows,
    ReadyJob,
    TenantShare,
)
from scheduling.fairness.tree import UNREAD, QueueRun, Supply

__all__ = ["UNREAD", "EstimatedSupply", "ReadSupply", "Supply", "keys_to_read", "pick_fair", "rows_to_read"]


class EstimatedSupply:
    """As many jobs as wait, each at the estimate: tells how many rows to read."""

    def peek(self, share: TenantShare | KeyShare, taken: int) -> ReadyJob | None:
        if taken >= share.waiting:
            return None
        return ReadyJob(None, share.head_rank, "", share.estimate_us)


class ReadSupply:
    """The rows that were read, with their own predicted costs."""

    def __init__(self, rows: Mapping[int, ReadRows]) -> None:
        self._rows = rows

    def peek(self, share: TenantShare | KeyShare, taken: int) -> ReadyJob | None:
        rows = self._rows.get(share.entity_id)
        if rows is None:
            return UNREAD
        if taken < len(rows.jobs):
            return rows.jobs[taken]
        return None if len(rows.jobs) < rows.asked else UNREAD


def pick_fair(pool: PoolShare, supply: Supply) -> PickResult:
    """Fill the pool's room in fair order; stops early where an unread job would be next."""
    rooms = {tenant_id: [room] for tenant_id, room in pool.tenant_room.items()}
    runs = {queue.queue_id: QueueRun(queue, pool.virtual_time, rooms, supply) for queue in pool.queues}
    virtual_time = pool.virtual_time
    picks: list[Pick] = []
    is_cut_short = False
    while len(picks) < pool.room:
        # A pool has a handful of queues, so a scan beats a heap that changes at both ends.
        turns = [turn for run in runs.values() if (turn := run.turn()) is not None]
        if not turns:
            break
        pick = runs[min(turns)[3]].take()
        if pick is None:
            is_cut_short = True
            break
        virtual_time = max(virtual_time, pick.queue_start_tag)
        picks.append(pick)
    return PickResult(
        picks=picks,
        virtual_time=virtual_time,
        queues={
            queue_id: QueueTags(run.vruntime, run.virtual_time, run.turn() is not None)
            for queue_id, run in runs.items()
        },
        tenants={
            entity_id: tenant.tags()
            for run in runs.values()
            for entity_id, tenant in run.tenants.items()
            if tenant.in_flight > tenant.share.in_flight
        },
        is_cut_short=is_cut_short,
    )


def rows_to_read(pool: PoolShare) -> dict[int, int]:
    """How many ready rows of each line of jobs the pick needs: one more than estimates would take."""
    taken = Counter(pick.entity_id for pick in pick_fair(pool, EstimatedSupply()).picks)
    lines: list[TenantShare | KeyShare] = []
    for queue in pool.queues:
        for tenant in queue.tenants:
            lines += tenant.keys or [tenant]
    return {line.entity_id: taken[line.entity_id] + 1 for line in lines}


def keys_to_read(pool: PoolShare, keyed: Collection[int]) -> dict[int, int]:
    """How many keys of each of the ``keyed`` tenants the pick needs: one more than it would take jobs of it.

    The k least start tags belong to the k keys of least virtual time, so nothing is lost.
    """
    taken = Counter(pick.entity_id for pick in pick_fair(pool, EstimatedSupply()).picks)
    return {entity_id: taken[entity_id] + 1 for entity_id in keyed}
