"""Nodes of the tree: the lines of a tenant's jobs, the tenant in a queue, its capacity, the queue.

A line holds the jobs of one fair key, or all of a tenant that has no keys. Virtual time is slot time divided by weight,
in integers. A microsecond of slot time at weight 1 is 1,000 units, so a 64-bit column holds centuries of a busy pool,
and shares of small jobs at large weights do not drown in rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple
from uuid import UUID

from scheduling.fairness.shares import ReadyJob

UNITS_PER_MICROSECOND = 1_000
MILLI = 1_000
# Stands for a job that exists but was not read: picking past it would be a guess.
UNREAD = ReadyJob(job_id=None, rank=0, kind="", cost_us=0)
KEY_WEIGHT_MILLI = 1_000
# The order of a child among its siblings, least first: the first four fields of its `HeapEntry`.
type Turn = tuple[int, int, int, int]


class HeapEntry[NodeT](NamedTuple):
    """A child's entry in the heap of its parent, compared field by field.

    ``start_tag`` is its virtual time, or its rank in order of arrival; ``rank`` is that of its first job. An entry that
    is not its node's current one is stale. Entries of two nodes differ in the id, so nodes are never compared.
    """

    start_tag: int
    in_flight: int
    rank: int
    entity_id: int
    node: NodeT


def virtual_service(cost_us: int, weight_milli: int) -> int:
    """Return the virtual time that ``cost_us`` of slot time adds at weight ``weight_milli`` / 1000."""
    return cost_us * UNITS_PER_MICROSECOND * MILLI // weight_milli


def corrected(vruntime: int, *, predicted_us: int, measured_us: int, weight_milli: int) -> int:
    """Return the virtual time after the predicted charge in it is replaced by the measured one."""
    return vruntime - virtual_service(predicted_us, weight_milli) + virtual_service(measured_us, weight_milli)


def rejoined(vruntime: int, parent_virtual_time: int) -> int:
    """Return the virtual time at which a child becomes eligible again: time without jobs earns no credit."""
    return max(vruntime, parent_virtual_time)


class KeyNode:
    """The jobs of one node in the order in which they start: ``head`` is the next one or None, ``rest`` the others."""

    __slots__ = ("entity_id", "entry", "head", "in_flight", "rank", "rest", "taken", "vruntime")

    def __init__(
        self, entity_id: int, rest: Iterator[ReadyJob | None], *, vruntime: int = 0, in_flight: int = 0, rank: int = 0
    ) -> None:
        self.entity_id = entity_id
        self.rest = rest
        self.vruntime = vruntime
        self.in_flight = in_flight
        self.rank = rank
        self.taken = 0
        self.entry: HeapEntry[KeyNode] | None = None
        self.advance()

    def advance(self) -> None:
        """Make the next job the head; a job that was not read is assumed to have the rank of the job before it."""
        self.head = head = next(self.rest, None)
        if head is not None and head is not UNREAD:
            self.rank = head.rank


class KeyNodes:
    """The nodes of one tenant; ``ready`` counts those with jobs, ``virtual_time`` is the clock that they share."""

    __slots__ = ("_heap", "_is_fifo", "_only", "_ranks", "all", "ready", "virtual_time")

    def __init__(self, lines: Sequence[KeyNode], *, virtual_time: int = 0, is_fifo: bool = False) -> None:
        self.all = lines
        self.virtual_time = virtual_time
        self.ready = sum(line.head is not None for line in lines)
        self._is_fifo = is_fifo
        # One line needs no choice, and no heap.
        self._only = lines[0] if len(lines) == 1 else None
        ready = [] if self._only else [line for line in lines if line.head is not None]
        self._heap = [self._new_entry(line) for line in ready]
        heapify(self._heap)
        self._ranks = [(line.rank, line.entity_id, line) for line in ready]
        heapify(self._ranks)

    def next(self) -> KeyNode:
        """Return the node whose job is next in order; at least one node must have jobs."""
        if self._only is not None:
            return self._only
        heap = self._heap
        while (entry := heap[0]).node.entry is not entry:
            heappop(heap)
        return entry.node

    def tag_after_next(self) -> int | None:
        """Return the virtual time of the node after the next one; None without one, or in order of rank.

        No entry of the heap may be stale when it is called.
        """
        return None if self._is_fifo else min((entry.start_tag for entry in self._heap[1:3]), default=None)

    def least_rank(self) -> int:
        """Return the rank of the job that has waited longest; at least one node must have jobs.

        Stale entries found on the way are corrected.
        """
        if self._only is not None:
            return self._only.rank
        ranks = self._ranks
        while True:
            rank, entity_id, line = ranks[0]
            if line.head is None:
                heappop(ranks)
            elif line.rank != rank:
                heapreplace(ranks, (line.rank, entity_id, line))
            else:
                return rank

    def charge(self, line: KeyNode, service: int, *, messages: int) -> None:
        """Take the first job of ``line``, which must be the next in order, and charge ``service`` of virtual time.

        ``messages`` is the number of new messages that the job needs.
        """
        if line.vruntime > self.virtual_time:  # noqa: PLR1730 - `max` costs more than the rest
            self.virtual_time = line.vruntime
        line.vruntime += service
        line.in_flight += messages
        line.taken += 1
        line.advance()
        if line.head is None:
            self.ready -= 1
            if self._only is None:
                heappop(self._heap)
                line.entry = None
        elif self._only is None:
            heapreplace(self._heap, self._new_entry(line))

    def _new_entry(self, line: KeyNode) -> HeapEntry[KeyNode]:
        start_tag = line.rank if self._is_fifo else line.vruntime
        line.entry = entry = HeapEntry(start_tag, line.in_flight, line.rank, line.entity_id, line)
        return entry


class Capacity:
    """How many more messages a tenant may have in flight over all queues (``room``), and its nodes in the queues."""

    __slots__ = ("nodes", "room", "tenant_id")

    def __init__(self, tenant_id: UUID, room: int) -> None:
        self.tenant_id = tenant_id
        self.room = room
        self.nodes: list[TenantNode] = []


class TenantNode:
    """A tenant in a queue. Its ``lines`` hold its jobs; ``entry`` is its entry in the queue's heap, or None."""

    __slots__ = (
        "capacity",
        "entitled_slots",
        "entity_id",
        "entry",
        "in_flight",
        "lines",
        "longest_rank",
        "queue",
        "vruntime",
        "weight_milli",
    )

    def __init__(
        self,
        entity_id: int,
        queue: QueueNode,
        capacity: Capacity,
        lines: KeyNodes,
        *,
        weight_milli: int,
        vruntime: int = 0,
        in_flight: int = 0,
        entitled_slots: float = 0.0,
        longest_rank: int | None = None,
    ) -> None:
        self.entity_id = entity_id
        self.queue = queue
        self.capacity = capacity
        self.lines = lines
        self.weight_milli = weight_milli
        self.vruntime = vruntime
        self.in_flight = in_flight
        self.entitled_slots = entitled_slots
        # Set if its longest waiting job has a key that was not read: older than all that were.
        self.longest_rank = longest_rank
        self.entry: HeapEntry[TenantNode] | None = None
        capacity.nodes.append(self)
        queue.tenants.append(self)

    def new_entry(self) -> HeapEntry[TenantNode]:
        """Return and store a new entry for the queue's heap; its rank is the least of the tenant's lines."""
        rank = self.lines.least_rank() if self.longest_rank is None else self.longest_rank
        start_tag = rank if self.queue.is_fifo else self.vruntime
        self.entry = entry = HeapEntry(start_tag, self.in_flight, rank, self.entity_id, self)
        return entry


class QueueNode:
    """A queue with its waiting tenants; ``room`` is how many more messages its cap allows."""

    __slots__ = (
        "has_more",
        "heap",
        "in_flight",
        "is_backlogged",
        "is_fifo",
        "is_reserve",
        "queue_id",
        "room",
        "tenants",
        "virtual_time",
        "vruntime",
        "weight_milli",
    )

    def __init__(
        self,
        queue_id: int,
        *,
        weight_milli: int,
        room: int,
        is_fifo: bool = False,
        vruntime: int = 0,
        virtual_time: int = 0,
        in_flight: int = 0,
        is_backlogged: bool = False,
        has_more: bool = False,
    ) -> None:
        self.queue_id = queue_id
        self.weight_milli = weight_milli
        self.room = room
        self.is_fifo = is_fifo
        self.vruntime = vruntime
        self.virtual_time = virtual_time
        self.in_flight = in_flight
        self.is_backlogged = is_backlogged
        # Whether more tenants wait than were read.
        self.has_more = has_more
        self.tenants: list[TenantNode] = []
        self.heap: list[HeapEntry[TenantNode]] = []
        self.is_reserve = False

    def enqueue_tenants(self, *, is_reserve: bool = False) -> None:
        """Fill the heap with all tenants that have jobs; if ``is_reserve``, only with those below their entitlement."""
        self.is_reserve = is_reserve
        self.heap = [tenant.new_entry() for tenant in self.tenants if self.may_go_on(tenant)]
        heapify(self.heap)

    def may_go_on(self, tenant: TenantNode) -> bool:
        return tenant.lines.ready > 0 and (not self.is_reserve or tenant.in_flight < tenant.entitled_slots)

    def turn(self) -> Turn:
        """Return the queue's place among the queues of its pool; it must have a waiting tenant."""
        return (self.vruntime, self.in_flight, self.heap[0].rank, self.queue_id)

    def runner_up(self) -> Turn | None:
        """Return the place of the tenant after the first, or None; no entry of the heap may be stale."""
        heap = self.heap
        return min(heap[1:3])[:4] if len(heap) > 1 else None
