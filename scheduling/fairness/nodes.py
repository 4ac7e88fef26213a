"""The upper nodes of the fair-share tree: a tenant's capacity, a tenant in a queue, a queue; and open messages.

Small jobs share a message. This does not change the order of the picks: a picked job joins the open message of its
queue and kind, if there is one, and then needs no slot of its own. No job is skipped to fill a message.
"""

from __future__ import annotations

from heapq import heapify
from uuid import UUID

from scheduling.fairness.key_nodes import KeyNodes, Turn
from scheduling.fairness.shares import MergeRule, ReadyJob

# A turn with its tenant. Two places of one tenant may be equal; those of two tenants differ in the id.
type Place = tuple[int, int, int, int, TenantNode]


class Capacity:
    """How many more messages a tenant may have in flight over all queues (``room``), and its nodes in the queues."""

    __slots__ = ("nodes", "room", "tenant_id")

    def __init__(self, tenant_id: UUID, room: int) -> None:
        self.tenant_id = tenant_id
        self.room = room
        self.nodes: list[TenantNode] = []


class TenantNode:
    """A tenant in a queue. Its ``lines`` hold its jobs; ``place`` is its entry in the queue's heap, or None."""

    __slots__ = (
        "capacity",
        "entitled_slots",
        "entity_id",
        "in_flight",
        "lines",
        "longest_rank",
        "place",
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
        self.place: Place | None = None
        capacity.nodes.append(self)
        queue.tenants.append(self)

    def stand(self) -> Place:
        """Return and store a new entry for the queue's heap; its rank is the least of the tenant's lines."""
        rank = self.lines.least_rank() if self.longest_rank is None else self.longest_rank
        order = rank if self.queue.is_fifo else self.vruntime
        self.place = place = (order, self.in_flight, rank, self.entity_id, self)
        return place


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
        self.heap: list[Place] = []
        self.is_reserve = False

    def enqueue_tenants(self, *, is_reserve: bool = False) -> None:
        """Fill the heap with all tenants that have jobs; if ``is_reserve``, only with those below their entitlement."""
        self.is_reserve = is_reserve
        self.heap = [tenant.stand() for tenant in self.tenants if self.may_go_on(tenant)]
        heapify(self.heap)

    def may_go_on(self, tenant: TenantNode) -> bool:
        return tenant.lines.ready > 0 and (not self.is_reserve or tenant.in_flight < tenant.entitled_slots)

    def turn(self) -> Turn:
        """Return the queue's place among the queues of its pool; it must have a waiting tenant."""
        return (self.vruntime, self.in_flight, self.heap[0][2], self.queue_id)

    def runner_up(self) -> Turn | None:
        """Return the place of the tenant after the first, or None; no entry of the heap may be stale."""
        heap = self.heap
        return min(heap[1:3])[:4] if len(heap) > 1 else None


class Message:
    """An open message: small jobs of one queue and kind, with the ``tenants`` and ``lines`` that they come from."""

    __slots__ = ("cost_us", "jobs", "lines", "number", "tenants")

    def __init__(self, number: int) -> None:
        self.number = number
        self.jobs = 0
        self.cost_us = 0
        self.tenants: set[UUID] = set()
        self.lines: set[int] = set()

    def add(self, tenant_id: UUID, line_id: int, job: ReadyJob) -> None:
        self.jobs += 1
        self.cost_us += job.cost_us
        self.tenants.add(tenant_id)
        self.lines.add(line_id)


class OpenMessages:
    """The messages of one tick: how many there are, and the open one of each queue and kind."""

    __slots__ = ("_open", "_rule", "count")

    def __init__(self, rule: MergeRule | None) -> None:
        self._rule = rule
        self._open: dict[tuple[int, str], Message] = {}
        self.count = 0

    def clear(self) -> None:
        """Forget the messages of the last tick."""
        self._open.clear()
        self.count = 0

    def joined_by(self, queue_id: int, job: ReadyJob | None) -> Message | None:
        """Return the message that the job would join; None if it needs one of its own."""
        if self._rule is None or job is None or not job.may_merge:
            return None
        message = self._open.get((queue_id, job.kind))
        if message is None or message.jobs >= self._rule.jobs or message.cost_us + job.cost_us > self._rule.total_us:
            return None
        return message

    def may_take(self, queue_id: int, tenant_id: UUID | None) -> bool:
        """Return whether a job that was not read might join an open message of its queue.

        With ``tenant_id``, only messages that already have a job of this tenant count.
        """
        return any(
            message.jobs < self._rule.jobs and (tenant_id is None or tenant_id in message.tenants)
            for (of_queue, _), message in self._open.items()
            if self._rule is not None and of_queue == queue_id
        )

    def place(self, message: Message | None, queue_id: int, tenant_id: UUID, line_id: int, job: ReadyJob) -> int:
        """Put a picked job into ``message``, or into a new one if that is None; return the message's number."""
        if message is None:
            number = self.count
            self.count += 1
            if self._rule is None or not job.may_merge:
                return number
            self._open[queue_id, job.kind] = message = Message(number)
        message.add(tenant_id, line_id, job)
        return message.number
