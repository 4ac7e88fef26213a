"""The fair-share tree pool → queue → tenant → fair key: which job is next, and how virtual times change.

At each level the next is the eligible child of least virtual start time. Ties go to the child with fewest in flight,
then to the one that waits longest, then to the lower id. A dispatch charges the job's predicted cost, divided by the
weight, at every level on its way; its end corrects that to the measured cost. Keys weigh the same.

A tick builds the tree from what it has read and picks once; a simulation keeps it over time. A waiting child is in a
heap of its parent. If its place changes it gets a new entry, and the old one is skipped when it comes up, so that every
change costs the logarithm of its siblings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush, heapreplace
from operator import attrgetter

from scheduling.fairness.key_nodes import (
    KEY_WEIGHT_MILLI,
    UNREAD,
    GrowingKeyNode,
    KeyNode,
    corrected,
    rejoined,
    virtual_service,
)
from scheduling.fairness.nodes import Capacity, OpenMessages, QueueNode, TenantNode
from scheduling.fairness.shares import MergeRule, ReadyJob


class FairTree:
    """The fair-share tree of one pool; ``cost_of`` returns what the dispatch of a job is charged."""

    def __init__(
        self,
        queues: Iterable[QueueNode],
        *,
        virtual_time: int = 0,
        merging: MergeRule | None = None,
        cost_of: Callable[[ReadyJob], int] = attrgetter("cost_us"),
    ) -> None:
        self.queues = list(queues)
        self.virtual_time = virtual_time
        self.cost_of = cost_of
        self.messages = OpenMessages(merging)
        self._full: list[Capacity] = []
        self._freed: list[Capacity] = []
        self._corrected: list[tuple[TenantNode, KeyNode]] = []

    def open_tick(self) -> None:
        """Begin a tick; a queue that has jobs again after a time without starts at the pool's virtual time."""
        self.messages.clear()
        for queue in self.queues:
            if not queue.is_backlogged and queue.vruntime < self.virtual_time:
                queue.vruntime = rejoined(queue.vruntime, self.virtual_time)

    def close_tick(self) -> None:
        """End a tick: mark queues that could use another slot as backlogged, and remove tenants at their cap."""
        for queue in self.queues:
            queue.is_backlogged = (queue.has_more and queue.room > 0) or (bool(queue.heap) and self._may_start(queue))
        while self._full:
            for tenant in self._full.pop().nodes:
                tenant.place = None

    def has_any(self) -> bool:
        """Return whether any queue has a tenant in its heap, which may be waiting below its cap."""
        for queue in self.queues:  # noqa: SIM110 - `any` takes three times as long
            if queue.heap:
                return True
        return False

    def next_queue(self) -> QueueNode | None:
        """Return the next queue in order; None if no job may start."""
        least: QueueNode | None = None
        # A pool has a handful of queues, so a scan beats a heap that changes at both ends.
        for queue in self.queues:
            if not queue.heap or (least is not None and queue.vruntime > least.vruntime):
                continue
            if self._may_start(queue) and (
                least is None or queue.vruntime < least.vruntime or queue.turn() < least.turn()
            ):
                least = queue
        return least

    def tag_after(self, queue: QueueNode) -> int | None:
        """Return the virtual time of the next queue in order after ``queue``; None if no other may start a job."""
        others = (other.vruntime for other in self.queues if other is not queue and self._may_start(other))
        return min(others, default=None)

    def _may_start(self, queue: QueueNode) -> bool:
        """Return whether the queue can start a job; remove tenants at their cap.

        A cap counts messages: a tenant with a job in the message that its next job joins needs no more room, nor does
        the queue.
        """
        heap = queue.heap
        while heap:
            place = heap[0]
            tenant = place[4]
            if tenant.place is not place:
                heappop(heap)
                continue
            has_room = tenant.capacity.room > 0
            if has_room and queue.room > 0:
                return True
            job = tenant.lines.next().head
            if job is UNREAD and self.messages.may_take(
                queue.queue_id, None if has_room else tenant.capacity.tenant_id
            ):
                return True
            message = self.messages.joined_by(queue.queue_id, job)
            if message is not None and (has_room or tenant.capacity.tenant_id in message.tenants):
                return True
            if has_room:
                return False
            heappop(heap)
            tenant.place = None
        return False

    def joins(self, queue: QueueNode) -> bool:
        """Return whether the queue's next job joins an open message, and so needs no slot."""
        return self.messages.joined_by(queue.queue_id, queue.heap[0][4].lines.next().head) is not None

    def take(self, queue: QueueNode) -> tuple[ReadyJob, int]:
        """Take the queue's next job and charge it at every level; return the job and the number of its message."""
        heap = queue.heap
        tenant = heap[0][4]
        line, capacity = tenant.lines.next(), tenant.capacity
        job = line.head
        assert job is not None
        assert job is not UNREAD
        cost_us = self.cost_of(job)
        message = self.messages.joined_by(queue.queue_id, job) if job.may_merge else None
        if message is None:
            is_new = True
            queue.room -= 1
            queue.in_flight += 1
            capacity.room -= 1
        else:
            is_new = line.entity_id not in message.lines
            capacity.room -= capacity.tenant_id not in message.tenants
        if capacity.room <= 0:
            self._full.append(capacity)
        number = self.messages.place(message, queue.queue_id, capacity.tenant_id, line.entity_id, job)
        # A parent's clock is where its children are served.
        if queue.vruntime > self.virtual_time:  # noqa: PLR1730 - here and below: `max` costs more than the rest
            self.virtual_time = queue.vruntime
        if tenant.vruntime > queue.virtual_time:  # noqa: PLR1730
            queue.virtual_time = tenant.vruntime
        queue.vruntime += virtual_service(cost_us, queue.weight_milli)
        tenant.vruntime += virtual_service(cost_us, tenant.weight_milli)
        tenant.in_flight += is_new
        tenant.lines.charge(line, virtual_service(cost_us, KEY_WEIGHT_MILLI), messages=int(is_new))
        if tenant.lines.ready and (not queue.is_reserve or queue.may_go_on(tenant)):
            heapreplace(heap, tenant.stand())
        else:
            heappop(heap)
            tenant.place = None
        return job, number

    # For simulations over time.

    def arrive(self, tenant: TenantNode, line: GrowingKeyNode, job: ReadyJob) -> None:
        """Add a job that arrives behind the others of its line."""
        if tenant.lines.append(line, job):
            self._restand(tenant)

    def give_back(self, tenant: TenantNode, line: GrowingKeyNode, job: ReadyJob) -> None:
        """Put a job that has yielded back before the others of its line."""
        tenant.lines.put_first(line, job)
        self._restand(tenant)

    def occupy(self, tenant: TenantNode, line: KeyNode, *, sign: int = 1) -> None:
        """Count a message of one job as in flight at every level without a charge; ``sign`` -1 removes it."""
        queue, capacity = tenant.queue, tenant.capacity
        line.in_flight += sign
        tenant.in_flight += sign
        queue.in_flight += sign
        queue.room -= sign
        capacity.room -= sign

    def end(self, tenant: TenantNode, line: KeyNode, *, charged_us: int, measured_us: int) -> None:
        """Record the end of a dispatch: free its slot, and replace its charge by the measured cost."""
        self.occupy(tenant, line, sign=-1)
        if tenant.capacity.room == 1:
            self._freed.append(tenant.capacity)
        if charged_us != measured_us:
            queue, change = tenant.queue, {"predicted_us": charged_us, "measured_us": measured_us}
            line.vruntime = corrected(line.vruntime, weight_milli=KEY_WEIGHT_MILLI, **change)
            tenant.vruntime = corrected(tenant.vruntime, weight_milli=tenant.weight_milli, **change)
            queue.vruntime = corrected(queue.vruntime, weight_milli=queue.weight_milli, **change)
            self._corrected.append((tenant, line))
        tenant.lines.reposition(line)
        if tenant.place is not None:
            heappush(tenant.queue.heap, tenant.stand())

    def charge_on(self, tenant: TenantNode, line: KeyNode, cost_us: int) -> None:
        """Charge a job that runs longer than it was charged for, as if it were dispatched again now.

        It keeps its slot out of order, so no clock passes a waiting child.
        """
        queue = tenant.queue
        while queue.heap and queue.heap[0][4].place is not queue.heap[0]:
            heappop(queue.heap)
        first = [queue.heap[0][4].vruntime] if queue.heap else []
        backlogged = [other.vruntime for other in self.queues if other.is_backlogged]
        self.virtual_time = max(self.virtual_time, min([queue.vruntime, *backlogged]))
        queue.virtual_time = max(queue.virtual_time, min([tenant.vruntime, *first]))
        tenant.lines.advance_clock(line.vruntime)
        queue.vruntime += virtual_service(cost_us, queue.weight_milli)
        tenant.vruntime += virtual_service(cost_us, tenant.weight_milli)
        line.vruntime += virtual_service(cost_us, KEY_WEIGHT_MILLI)
        tenant.lines.reposition(line)
        if tenant.place is not None:
            heappush(queue.heap, tenant.stand())

    def fold(self) -> None:
        """Apply all ends of this moment, and put tenants back into the heaps that are below their cap again.

        A clock never exceeds an eligible child: one that a correction moves below it lowers it, or returning tenants
        would wait for service that was only predicted.
        """
        while self._corrected:
            tenant, line = self._corrected.pop()
            queue = tenant.queue
            tenant.lines.hold_back(line)
            if tenant.place is not None:
                queue.virtual_time = min(queue.virtual_time, tenant.vruntime)
            if queue.is_backlogged:
                self.virtual_time = min(self.virtual_time, queue.vruntime)
        while self._freed:
            for tenant in self._freed.pop().nodes:
                if tenant.lines.ready and tenant.place is None:
                    self._restand(tenant)

    def _restand(self, tenant: TenantNode) -> None:
        """Give a tenant with jobs its place if it is below its cap. Time without jobs earns no credit."""
        if tenant.place is None:
            if tenant.capacity.room <= 0:
                return
            tenant.vruntime = rejoined(tenant.vruntime, tenant.queue.virtual_time)
        heappush(tenant.queue.heap, tenant.stand())
