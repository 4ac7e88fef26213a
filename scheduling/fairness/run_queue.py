"""Start-time fair queueing over the tree pool → queue → tenant.

Each pick takes the eligible queue of least virtual time and in it the eligible tenant of least
virtual time, and charges both the job's predicted cost over their weights. Ties go to whoever
has fewest in flight, then to whoever waits longest. Values at the boundary are frozen; inside,
lists and heaps do the work (frozen values replaced at each step were six times slower).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from heapq import heapify, heappop, heapreplace
from typing import Protocol

from scheduling.fairness.shares import (
    Pick,
    PickResult,
    PoolShare,
    QueueShare,
    QueueTags,
    ReadRows,
    ReadyJob,
    TenantShare,
)
from scheduling.fairness.virtual_time import rejoined, virtual_service

# Stands for a job that exists but was not read: to decide past it would be a guess.
UNREAD = ReadyJob(job_id=None, rank=0, kind="", cost_us=0)


class Supply(Protocol):
    """Where the next job of a tenant comes from."""

    def peek(self, tenant: TenantShare, taken: int) -> ReadyJob | None:
        """The job after ``taken`` others, UNREAD, or None when there are no more."""
        ...


class EstimatedSupply:
    """As many jobs as wait, each at the tenant's estimate: tells how many rows to read."""

    def peek(self, tenant: TenantShare, taken: int) -> ReadyJob | None:
        if taken >= tenant.waiting:
            return None
        return ReadyJob(None, tenant.head_rank, "", tenant.estimate_us)


class ReadSupply:
    """The rows that were read, with their own predicted costs."""

    def __init__(self, rows: Mapping[int, ReadRows]) -> None:
        self._rows = rows

    def peek(self, tenant: TenantShare, taken: int) -> ReadyJob | None:
        rows = self._rows.get(tenant.entity_id)
        if rows is None:
            return UNREAD
        if taken < len(rows.jobs):
            return rows.jobs[taken]
        return None if len(rows.jobs) < rows.asked else UNREAD


class _QueueRun:
    """A queue while it is picked from: a heap of [order, in flight, rank, entity]."""

    def __init__(self, share: QueueShare, pool_virtual_time: int, supply: Supply) -> None:
        self.share = share
        self.supply = supply
        self.room = share.room
        self.virtual_time = share.virtual_time
        self.vruntime = share.vruntime if share.was_backlogged else rejoined(share.vruntime, pool_virtual_time)
        self.tenants = {tenant.entity_id: tenant for tenant in share.tenants}
        self.vruntimes = {tenant.entity_id: tenant.vruntime for tenant in share.tenants}
        self.taken = dict.fromkeys(self.tenants, 0)
        self.heap = [self._key(tenant) for tenant in share.tenants]
        heapify(self.heap)

    def _key(self, tenant: TenantShare) -> tuple[int, int, int, int]:
        entity_id = tenant.entity_id
        taken = self.taken[entity_id]
        job = self.supply.peek(tenant, taken)
        rank = tenant.head_rank if job is None or job is UNREAD else job.rank
        order = rank if self.share.is_fifo else self.vruntimes[entity_id]
        return (order, tenant.in_flight + taken, rank, entity_id)

    def head(self, tenant_room: Counter[object]) -> TenantShare | None:
        """The tenant whose turn it is; those who can start nothing more leave the heap."""
        if self.room <= 0:
            return None
        while self.heap:
            tenant = self.tenants[self.heap[0][3]]
            has_job = self.supply.peek(tenant, self.taken[tenant.entity_id]) is not None
            if has_job and tenant_room[tenant.tenant_id] > 0:
                return tenant
            heappop(self.heap)
        return None

    def take(self, tenant: TenantShare, job: ReadyJob) -> Pick:
        """Pick ``job`` and charge tenant and queue its predicted cost."""
        entity_id = tenant.entity_id
        start_tag = self.vruntimes[entity_id]
        self.vruntimes[entity_id] += virtual_service(job.cost_us, tenant.weight_milli)
        self.vruntime += virtual_service(job.cost_us, self.share.weight_milli)
        self.virtual_time = max(self.virtual_time, start_tag)
        self.taken[entity_id] += 1
        self.room -= 1
        heapreplace(self.heap, self._key(tenant))
        return Pick(self.share.queue_id, entity_id, tenant.tenant_id, start_tag, job)


def pick_fair(pool: PoolShare, supply: Supply) -> PickResult:
    """Fill the pool's room in fair order; stops early where an unread job would be next."""
    runs = [_QueueRun(queue, pool.virtual_time, supply) for queue in pool.queues]
    tenant_room: Counter[object] = Counter(pool.tenant_room)
    virtual_time = pool.virtual_time
    picks: list[Pick] = []
    is_cut_short = False
    while len(picks) < pool.room:
        # A pool has a handful of queues, so a scan beats a heap that changes at both ends.
        served = [
            (run.vruntime, run.share.queue_id, run, head) for run in runs if (head := run.head(tenant_room)) is not None
        ]
        if not served:
            break
        _, _, run, tenant = min(served, key=lambda entry: entry[:2])
        job = supply.peek(tenant, run.taken[tenant.entity_id])
        if job is None or job is UNREAD:
            is_cut_short = True
            break
        virtual_time = max(virtual_time, run.vruntime)
        tenant_room[tenant.tenant_id] -= 1
        picks.append(run.take(tenant, job))
    return PickResult(
        picks=picks,
        virtual_time=virtual_time,
        queues={
            run.share.queue_id: QueueTags(run.vruntime, run.virtual_time, run.head(tenant_room) is not None)
            for run in runs
        },
        vruntimes={
            entity_id: run.vruntimes[entity_id] for run in runs for entity_id, taken in run.taken.items() if taken
        },
        is_cut_short=is_cut_short,
    )


def rows_to_read(pool: PoolShare) -> dict[int, int]:
    """How many ready rows of each entity the pick needs: one more than estimates would take."""
    taken = Counter(pick.entity_id for pick in pick_fair(pool, EstimatedSupply()).picks)
    return {tenant.entity_id: taken[tenant.entity_id] + 1 for queue in pool.queues for tenant in queue.tenants}
