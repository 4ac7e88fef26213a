"""Start-time fair queueing over the tree pool → queue → tenant → fair key.

Values at the boundary are frozen; inside, lists and heaps do the work (frozen values
replaced at each step were six times slower).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from scheduling.fairness.messages import OpenMessages
from scheduling.fairness.shares import (
    KeyShare,
    MergeRule,
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

    def __init__(self, merging: MergeRule | None = None) -> None:
        self._merge_below_us = merging.below_us if merging else 0

    def peek(self, share: TenantShare | KeyShare, taken: int) -> ReadyJob | None:
        if taken >= share.waiting:
            return None
        return ReadyJob(None, share.head_rank, "", share.estimate_us, share.estimate_us < self._merge_below_us)


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
    """Fill the pool's room in fair order; stops early where an unread job would be next.

    Without a free slot it goes on as long as the next in order needs none, because it joins an open message.
    """
    limit = pool.room if pool.limit is None else pool.limit
    messages = OpenMessages(pool.merging)
    rooms = {tenant_id: [room] for tenant_id, room in pool.tenant_room.items()}
    runs = {queue.queue_id: QueueRun(queue, pool.virtual_time, rooms, supply, messages) for queue in pool.queues}
    picks: list[Pick] = []
    may_go_on = _fill(runs, messages, picks, pool.room - pool.reserved, limit)
    for is_reserve in (True, False) if pool.reserved else ():
        for run in runs.values():
            run.line_up(is_reserve=is_reserve)
        may_go_on = may_go_on and _fill(runs, messages, picks, pool.room, limit)
    return PickResult(
        picks=picks,
        virtual_time=max((pool.virtual_time, *(pick.queue_start_tag for pick in picks))),
        queues={
            queue_id: QueueTags(run.vruntime, run.virtual_time, run.turn() is not None)
            for queue_id, run in runs.items()
        },
        tenants={
            entity_id: tenant.tags()
            for run in runs.values()
            for entity_id, tenant in run.tenants.items()
            if tenant.is_picked
        },
        is_cut_short=not may_go_on and messages.count < pool.room,
    )


def _fill(runs: Mapping[int, QueueRun], messages: OpenMessages, picks: list[Pick], slots: int, limit: int) -> bool:
    """Pick until ``slots`` are used or nobody may start; False where the next job was not read, or too many were."""
    while True:
        # A pool has a handful of queues, so a scan beats a heap that changes at both ends.
        turns = [turn for run in runs.values() if (turn := run.turn()) is not None]
        if not turns:
            return True
        run = runs[min(turns)[3]]
        if messages.count >= slots and not run.joins():
            return True
        pick = run.take() if len(picks) < limit else None
        if pick is None:
            return False
        picks.append(pick)


def rows_to_read(pool: PoolShare) -> dict[int, int]:
    """How many ready rows of each line of jobs the pick needs: one more than estimates would take."""
    taken = Counter(pick.entity_id for pick in pick_fair(pool, EstimatedSupply(pool.merging)).picks)
    lines = [line for queue in pool.queues for tenant in queue.tenants for line in tenant.lines]
    return {line.entity_id: taken[line.entity_id] + 1 for line in lines}


def keys_to_read(pool: PoolShare, keyed: Collection[int]) -> dict[int, int]:
    """How many keys of each of the ``keyed`` tenants the pick needs: one more than it would take jobs of it.

    The k least start tags belong to the k keys of least virtual time, so nothing is lost.
    """
    taken = Counter(pick.entity_id for pick in pick_fair(pool, EstimatedSupply(pool.merging)).picks)
    return {entity_id: taken[entity_id] + 1 for entity_id in keyed}
