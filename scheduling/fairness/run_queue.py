"""The pick of one tick: start-time fair queueing over the tree pool → queue → tenant → fair key.

Input and result are frozen values; inside, a mutable tree does the work (frozen values replaced at each step were six
times slower).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Protocol

from scheduling.fairness.nodes import UNREAD, Capacity, KeyNode, KeyNodes, QueueNode, TenantNode
from scheduling.fairness.shares import (
    KeyShare,
    MergeRule,
    Pick,
    PickReason,
    PickResult,
    PoolShare,
    QueueTags,
    ReadRows,
    ReadyJob,
    TenantShare,
    TenantTags,
    TreeLevel,
)
from scheduling.fairness.tree import FairTree


class JobSource(Protocol):
    """The source of the ready jobs of a tenant, or of one of its keys."""

    def jobs_of(self, line: TenantShare | KeyShare) -> Iterator[ReadyJob]:
        """Return the jobs of a tenant or key in order; UNREAD stands for jobs that exist but were not read."""
        ...


class EstimatedJobs:
    """A source of estimated jobs: as many as wait, each at the estimated cost; used to count the rows to read."""

    def __init__(self, merging: MergeRule | None = None) -> None:
        self._merge_below_us = merging.below_us if merging else 0

    def jobs_of(self, line: TenantShare | KeyShare) -> Iterator[ReadyJob]:
        is_small = line.estimate_us < self._merge_below_us
        job = ReadyJob(None, line.head_rank, "", line.estimate_us, may_merge=is_small, may_list=not is_small)
        return repeat(job, line.waiting)


class ReadJobs:
    """A source of the jobs that were read, with their predicted costs."""

    def __init__(self, rows: Mapping[int, ReadRows]) -> None:
        self._rows = rows

    def jobs_of(self, line: TenantShare | KeyShare) -> Iterator[ReadyJob]:
        rows = self._rows.get(line.entity_id)
        if rows is None:
            return iter((UNREAD,))
        return iter(rows.jobs) if len(rows.jobs) < rows.asked else chain(rows.jobs, (UNREAD,))


def pick_fair(pool: PoolShare, supply: JobSource) -> PickResult:
    """Pick jobs in fair order for the free slots of the pool; stop early if a job that was not read would be next.

    Without a free slot, continue as long as the next job in order joins an open message, which needs no slot.
    """
    tree = _grow(pool, supply)
    picks: list[Pick] = []
    may_go_on = _hand_out(tree, pool, _take, picks)
    is_cut_short = not may_go_on and tree.messages.count < pool.room
    tree.close_tick()
    return PickResult(
        picks=picks,
        virtual_time=tree.virtual_time,
        queues={
            queue.queue_id: QueueTags(queue.vruntime, queue.virtual_time, queue.is_backlogged) for queue in tree.queues
        },
        tenants=dict(_tags(tenant for queue in tree.queues for tenant in queue.tenants)),
        is_cut_short=is_cut_short,
    )


def _grow(pool: PoolShare, supply: JobSource) -> FairTree:
    """Return the tree of what a tick has read."""
    capacities = {tenant_id: Capacity(tenant_id, room) for tenant_id, room in pool.tenant_room.items()}
    queues = []
    for share in pool.queues:
        queue = QueueNode(
            share.queue_id,
            weight_milli=share.weight_milli,
            room=share.room,
            is_fifo=share.is_fifo,
            vruntime=share.vruntime,
            virtual_time=share.virtual_time,
            in_flight=share.in_flight,
            is_backlogged=share.was_backlogged,
            has_more=share.has_more,
        )
        for tenant in share.tenants:
            _plant(tenant, queue, capacities[tenant.tenant_id], supply)
        queue.enqueue_tenants()
        queues.append(queue)
    return FairTree(queues, virtual_time=pool.virtual_time, merging=pool.merging)


def lines_of(share: TenantShare) -> Sequence[TenantShare | KeyShare]:
    """Return the tenant's keys, or itself as its only line without keys."""
    return share.keys or (share,)


def _plant(share: TenantShare, queue: QueueNode, capacity: Capacity, supply: JobSource) -> None:
    lines = [
        KeyNode(
            line.entity_id,
            supply.jobs_of(line),
            vruntime=line.vruntime if share.keys else share.own_vruntime,
            in_flight=line.in_flight,
            rank=line.head_rank,
        )
        for line in lines_of(share)
    ]
    ranks = [line.rank for line in lines if line.head is not None] if share.keys else []
    TenantNode(
        share.entity_id,
        queue,
        capacity,
        KeyNodes(lines, virtual_time=share.virtual_time, is_fifo=queue.is_fifo),
        weight_milli=share.weight_milli,
        vruntime=share.vruntime,
        in_flight=share.in_flight,
        entitled_slots=share.entitled_slots,
        # Lower than all that were read: the longest waiting job has a key that was not.
        longest_rank=share.head_rank if ranks and share.head_rank < min(ranks) else None,
    )


def _tags(tenants: Iterable[TenantNode]) -> Iterator[tuple[int, TenantTags]]:
    """Yield the clocks of the picked tenants."""
    for tenant in tenants:
        if keys := {line.entity_id: line.vruntime for line in tenant.lines.all if line.taken}:
            yield tenant.entity_id, TenantTags(tenant.vruntime, tenant.lines.virtual_time, keys)


def _hand_out[T](
    tree: FairTree, pool: PoolShare, take: Callable[[FairTree, QueueNode], T | None], out: list[T]
) -> bool:
    """Fill the pool's room, reserved slots last; return False if the next job was not read, or the limit is reached."""
    tree.open_tick()
    limit = pool.room if pool.limit is None else pool.limit
    may_go_on = _fill(tree, take, out, pool.room - pool.reserved, limit)
    for is_reserve in (True, False) if pool.reserved else ():
        for queue in tree.queues:
            queue.enqueue_tenants(is_reserve=is_reserve)
        may_go_on = may_go_on and _fill(tree, take, out, pool.room, limit)
    return may_go_on


def _fill[T](
    tree: FairTree, take: Callable[[FairTree, QueueNode], T | None], out: list[T], slots: int, limit: int
) -> bool:
    """Take jobs until ``slots`` are used or none may start; return False if the next was not read, or at the limit."""
    tree.messages.slots = slots
    while True:
        queue = tree.next_queue()
        if queue is None or (tree.messages.count >= slots and not tree.joins(queue)):
            return True
        if len(out) >= limit or (taken := take(tree, queue)) is None:
            return False
        out.append(taken)


def _take(tree: FairTree, queue: QueueNode) -> Pick | None:
    """Take the queue's next job, with the numbers that decided the pick; return None if it was not read."""
    order, in_flight, rank, id_, tenant = queue.heap[0]
    line = tenant.lines.next()
    job = line.head
    if job is None or job is UNREAD:
        return None
    return Pick(
        queue_id=queue.queue_id,
        entity_id=line.entity_id,
        tenant_id=tenant.capacity.tenant_id,
        start_tag=tenant.vruntime,
        job=job,
        tenant_entity_id=tenant.entity_id,
        queue_start_tag=queue.vruntime,
        key_start_tag=line.vruntime,
        turn=(order, in_flight, rank, id_),
        runner_up=queue.runner_up(),
        queue_runner_up=tree.tag_after(queue),
        key_runner_up=tenant.lines.tag_after_next(),
        message=tree.take(queue)[1],
        is_reserved=queue.is_reserve,
        is_fifo=queue.is_fifo,
    )


def level_of(pick: Pick) -> TreeLevel | None:
    """Return the level that decided: its tenant's, else its queue's, else its key's; None without a choice."""
    if pick.runner_up is not None:
        return TreeLevel.TENANT
    if pick.queue_runner_up is not None:
        return TreeLevel.QUEUE
    return None if pick.key_runner_up is None else TreeLevel.KEY


def reason_of(pick: Pick) -> PickReason:
    """Return why the pick was next at the level that decided."""
    if pick.is_reserved:
        return PickReason.RESERVED
    if pick.runner_up is not None:
        return _reason_of_tenant(pick, pick.runner_up)
    if pick.queue_runner_up is not None:
        is_tie = pick.queue_start_tag == pick.queue_runner_up
    elif pick.key_runner_up is not None:
        is_tie = pick.key_start_tag == pick.key_runner_up
    else:
        return PickReason.ONLY_CANDIDATE
    return PickReason.TIE if is_tie else PickReason.LEAST_VIRTUAL_TIME


def _reason_of_tenant(pick: Pick, runner_up: tuple[int, int, int, int]) -> PickReason:
    """Return the first number in which the tenant and its runner-up differ; the id settles the rest."""
    if pick.turn[0] != runner_up[0]:
        return PickReason.ARRIVAL_ORDER if pick.is_fifo else PickReason.LEAST_VIRTUAL_TIME
    if pick.turn[1] != runner_up[1]:
        return PickReason.TIE_IN_FLIGHT
    return PickReason.ARRIVAL_ORDER if pick.is_fifo else PickReason.TIE_LONGEST_WAITING


def _take_from(tree: FairTree, queue: QueueNode) -> int | None:
    """Take the queue's next job; return its line's entity, or None if it was not read."""
    line = queue.heap[0].node.lines.next()
    if line.head is None or line.head is UNREAD:
        return None
    tree.take(queue)
    return line.entity_id


def _count_by_estimates(pool: PoolShare) -> Counter[int]:
    """Return how many jobs would be picked of each line if each cost its line's estimate."""
    taken: list[int] = []
    _hand_out(_grow(pool, EstimatedJobs(pool.merging)), pool, _take_from, taken)
    return Counter(taken)


def rows_to_read(pool: PoolShare) -> dict[int, int]:
    """Return how many ready rows to read of each tenant or key: one more than the jobs that it is estimated to get.

    In order of arrival at least two are read: estimates then predict little, and a job that is not read might be as old
    as the last one that is.
    """
    taken = _count_by_estimates(pool)
    return {
        line.entity_id: max(taken[line.entity_id] + 1, 2 if queue.is_fifo else 1)
        for queue in pool.queues
        for tenant in queue.tenants
        for line in lines_of(tenant)
    }


def keys_to_read(pool: PoolShare, keyed: Collection[int]) -> dict[int, int]:
    """Return how many keys to read of each tenant in ``keyed``: one more than the jobs that it is estimated to get.

    Jobs are picked from the keys of least virtual time, so no further keys are needed.
    """
    taken = _count_by_estimates(pool)
    return {entity_id: taken[entity_id] + 1 for entity_id in keyed}
