"""The nodes of the tree pool → queue → tenant → fair key while a tick picks from them.

At each level the next is the eligible child of least virtual start time; ties go to whoever
has fewest in flight, then to whoever waits longest, then to the lower id. A pick charges the
job's predicted cost, divided by the weight, at every level on its way. Keys weigh the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heapreplace
from typing import Protocol
from uuid import UUID

from scheduling.fairness.messages import OpenMessages
from scheduling.fairness.shares import KeyShare, Pick, QueueShare, ReadyJob, TenantShare, TenantTags
from scheduling.fairness.virtual_time import rejoined, virtual_service

# Stands for a job that exists but was not read: to decide past it would be a guess.
UNREAD = ReadyJob(job_id=None, rank=0, kind="", cost_us=0)
KEY_WEIGHT_MILLI = 1_000

# A child's place among its siblings: (virtual start time, in flight, rank of its first job, id), least first.
type Turn = tuple[int, int, int, int]


class Supply(Protocol):
    """Where the next job of a tenant, or of one of its keys, comes from."""

    def peek(self, share: TenantShare | KeyShare, taken: int) -> ReadyJob | None:
        """The job after ``taken`` others, UNREAD, or None when there are no more."""
        ...


class KeyRun:
    """One line of jobs: those of a fair key, or those of a tenant that has none."""

    __slots__ = ("entity_id", "in_flight", "job", "rank", "share", "taken", "vruntime")

    def __init__(self, share: TenantShare | KeyShare, vruntime: int, supply: Supply) -> None:
        self.share = share
        self.entity_id = share.entity_id
        self.vruntime = vruntime
        self.in_flight = share.in_flight
        self.rank = share.head_rank
        self.taken = 0
        self.look(supply)

    def look(self, supply: Supply) -> None:
        """See which job would be next; of one that was not read the rank is at least the last."""
        self.job = job = supply.peek(self.share, self.taken)
        if job is not None and job is not UNREAD:
            self.rank = job.rank


class TenantRun:
    """A tenant while it is picked from: a heap of its keys' turns, and one of their ranks."""

    __slots__ = (
        "entity_id",
        "heap",
        "in_flight",
        "is_fifo",
        "keys",
        "ranks",
        "room",
        "share",
        "unread_rank",
        "virtual_time",
        "vruntime",
    )

    def __init__(self, share: TenantShare, room: list[int], supply: Supply, *, is_fifo: bool) -> None:
        self.share = share
        self.entity_id = share.entity_id
        self.room = room
        self.is_fifo = is_fifo
        self.vruntime = share.vruntime
        self.virtual_time = share.virtual_time
        self.in_flight = share.in_flight
        keys = [KeyRun(key, key.vruntime, supply) for key in share.keys]
        keys = keys or [KeyRun(share, share.own_vruntime, supply)]
        self.keys = {key.entity_id: key for key in keys}
        self.heap = [self._turn_of(key) for key in keys if key.job is not None]
        heapify(self.heap)
        self.ranks = [(rank, entity_id) for _, _, rank, entity_id in self.heap]
        heapify(self.ranks)
        # Older than all that were read: the longest waiting job is of a key that was not.
        is_older = bool(share.keys and self.ranks) and share.head_rank < self.ranks[0][0]
        self.unread_rank = share.head_rank if is_older else None

    def _turn_of(self, key: KeyRun) -> Turn:
        return (key.rank if self.is_fifo else key.vruntime, key.in_flight, key.rank, key.entity_id)

    def turn(self) -> Turn:
        """Its place among the tenants of its queue: it has waited as long as the one of its keys that waits longest."""
        rank = self._least_rank() if self.unread_rank is None else self.unread_rank
        return (rank if self.is_fifo else self.vruntime, self.in_flight, rank, self.entity_id)

    def _least_rank(self) -> int:
        """The least rank of its keys' first jobs. Ranks only grow, so those that are stale come up and are mended."""
        ranks = self.ranks
        while True:
            rank, entity_id = ranks[0]
            key = self.keys[entity_id]
            if key.job is None:
                heappop(ranks)
            elif key.rank != rank:
                heapreplace(ranks, (key.rank, entity_id))
            else:
                return rank

    def next_key(self) -> KeyRun:
        """The key whose turn it is."""
        return self.keys[self.heap[0][3]]

    def charge(self, key: KeyRun, cost_us: int, supply: Supply, *, messages: int) -> None:
        """Move the clocks on by the job that ``key`` gave, in so many new ``messages``, and look at what is next."""
        self.virtual_time = max(self.virtual_time, key.vruntime)
        self.vruntime += virtual_service(cost_us, self.share.weight_milli)
        key.vruntime += virtual_service(cost_us, KEY_WEIGHT_MILLI)
        self.in_flight += messages
        key.in_flight += messages
        key.taken += 1
        key.look(supply)
        if key.job is None:
            heappop(self.heap)
        else:
            heapreplace(self.heap, self._turn_of(key))

    @property
    def is_picked(self) -> bool:
        """Whether any of its jobs was taken."""
        return any(key.taken for key in self.keys.values())

    def tags(self) -> TenantTags:
        keys = {key.entity_id: key.vruntime for key in self.keys.values() if key.taken}
        return TenantTags(self.vruntime, self.virtual_time, keys)


class QueueRun:
    """A queue while it is picked from: a heap of its tenants' turns."""

    def __init__(
        self,
        share: QueueShare,
        pool_virtual_time: int,
        rooms: Mapping[UUID, list[int]],
        supply: Supply,
        messages: OpenMessages,
    ) -> None:
        self.share = share
        self.supply = supply
        self.messages = messages
        self.room = share.room
        self.in_flight = share.in_flight
        self.virtual_time = share.virtual_time
        self.vruntime = share.vruntime if share.was_backlogged else rejoined(share.vruntime, pool_virtual_time)
        runs = [TenantRun(tenant, rooms[tenant.tenant_id], supply, is_fifo=share.is_fifo) for tenant in share.tenants]
        self.tenants = {run.entity_id: run for run in runs}
        self.line_up(is_reserve=False)

    def line_up(self, *, is_reserve: bool) -> None:
        """Let all tenants take turns, or those alone that are below their entitlement."""
        self.is_reserve = is_reserve
        self.heap = [run.turn() for run in self.tenants.values() if self._may_go_on(run)]
        heapify(self.heap)

    def _may_go_on(self, run: TenantRun) -> bool:
        return bool(run.heap) and (not self.is_reserve or run.in_flight < run.share.entitled_slots)

    def turn(self) -> Turn | None:
        """The queue's place among its siblings; None when it can start nothing. Whoever is at its cap leaves.

        A cap counts messages: a tenant that is in the message which its next job joins needs no more room, nor does
        the queue.
        """
        heap = self.heap
        while heap:
            _, _, rank, entity_id = heap[0]
            tenant = self.tenants[entity_id]
            message = self.messages.joined_by(self.share.queue_id, tenant.next_key().job)
            if tenant.room[0] > 0 or (message is not None and tenant.share.tenant_id in message.tenants):
                if self.room <= 0 and message is None:
                    return None
                return (self.vruntime, self.in_flight, rank, self.share.queue_id)
            heappop(heap)
        return None

    def joins(self) -> bool:
        """Whether the next job joins an open message, and so needs no slot."""
        job = self.tenants[self.heap[0][3]].next_key().job
        return self.messages.joined_by(self.share.queue_id, job) is not None

    def take(self) -> Pick | None:
        """Pick the next job of the tenant whose turn it is, and charge it at every level; None if it was not read."""
        heap = self.heap
        turn = heap[0]
        tenant = self.tenants[turn[3]]
        key = tenant.next_key()
        job = key.job
        if job is None or job is UNREAD:
            return None
        tenant_id = tenant.share.tenant_id
        joined = self.messages.joined_by(self.share.queue_id, job)
        if joined is None or tenant_id not in joined.tenants:
            tenant.room[0] -= 1
        if joined is None:
            self.room -= 1
            self.in_flight += 1
        is_new = joined is None or key.entity_id not in joined.lines
        pick = Pick(
            self.share.queue_id,
            key.entity_id,
            tenant_id,
            tenant.vruntime,
            job,
            tenant.entity_id,
            self.vruntime,
            key.vruntime,
            turn,
            None if len(heap) == 1 else heap[1] if len(heap) == 2 or heap[1] < heap[2] else heap[2],
            self.messages.place(self.share.queue_id, tenant_id, key.entity_id, job).number,
            self.is_reserve,
        )
        self.virtual_time = max(self.virtual_time, tenant.vruntime)
        self.vruntime += virtual_service(job.cost_us, self.share.weight_milli)
        tenant.charge(key, job.cost_us, self.supply, messages=int(is_new))
        if self._may_go_on(tenant):
            heapreplace(heap, tenant.turn())
        else:
            heappop(heap)
        return pick
