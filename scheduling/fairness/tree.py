"""The tree pool → queue → tenant → fair key: whose turn it is, and what a hand-out and its end do to the clocks.

At each level the next is the eligible child of least virtual start time; ties go to whoever has fewest in flight,
then to whoever waits longest, then to the lower id. A hand-out charges the job's predicted cost, divided by the
weight, at every level on its way; its end corrects that to what was measured. Keys weigh the same.

A tick grows the tree from what it has read and picks once; a simulation keeps it while time passes. Whoever waits
stands in a heap of its parent's. Where its place changes it gets a new one, and the old is passed over when it comes
up, so that every change costs the logarithm of its siblings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush, heapreplace
from operator import attrgetter

from scheduling.fairness.lines import KEY_WEIGHT_MILLI, UNREAD, Line, OpenLine, corrected, rejoined, virtual_service
from scheduling.fairness.nodes import Capacity, OpenMessages, QueueNode, TenantNode
from scheduling.fairness.shares import MergeRule, ReadyJob


class FairTree:
    """A pool's tree. ``cost_of`` tells what the hand-out of a job is charged, by default what is predicted."""

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
        self._corrected: list[tuple[TenantNode, Line]] = []

    def open_tick(self) -> None:
        """Slots are to be given. A queue that comes back does so where the others are."""
        self.messages.clear()
        for queue in self.queues:
            if not queue.is_backlogged and queue.vruntime < self.virtual_time:
                queue.vruntime = rejoined(queue.vruntime, self.virtual_time)

    def close_tick(self) -> None:
        """Who could still take a slot is backlogged; whoever is at its cap waits in no queue."""
        for queue in self.queues:
            queue.is_backlogged = (queue.has_more and queue.room > 0) or (bool(queue.heap) and self._may_start(queue))
        while self._full:
            for tenant in self._full.pop().nodes:
                tenant.place = None

    def has_any(self) -> bool:
        """Whether anybody may be waiting below its cap."""
        for queue in self.queues:  # noqa: SIM110 - `any` takes three times as long
            if queue.heap:
                return True
        return False

    def next_queue(self) -> QueueNode | None:
        """The queue whose turn it is; None when nobody may start."""
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
        """The start tag of the queue that would be next without ``queue``; None for none."""
        others = (other.vruntime for other in self.queues if other is not queue and self._may_start(other))
        return min(others, default=None)

    def _may_start(self, queue: QueueNode) -> bool:
        """Whether the queue can start anything. Whoever is at its cap leaves.

        A cap counts messages: a tenant that is in the message which its next job joins needs no more room, nor does
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
        """Whether the queue's next job joins an open message, and so needs no slot."""
        return self.messages.joined_by(queue.queue_id, queue.heap[0][4].lines.next().head) is not None

    def take(self, queue: QueueNode) -> tuple[ReadyJob, int]:
        """Hand out the queue's next job, and charge it at every level; the job, and the number of its message."""
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

    # While time passes.

    def arrive(self, tenant: TenantNode, line: OpenLine, job: ReadyJob) -> None:
        """A job waits behind the others of its line."""
        if tenant.lines.append(line, job):
            self._restand(tenant)

    def give_back(self, tenant: TenantNode, line: OpenLine, job: ReadyJob) -> None:
        """A job waits again, before the others of its line."""
        tenant.lines.put_first(line, job)
        self._restand(tenant)

    def occupy(self, tenant: TenantNode, line: Line, *, sign: int = 1) -> None:
        """A message of one job has a place at every level, or with ``sign`` -1 has it no longer. Charges nothing."""
        queue, capacity = tenant.queue, tenant.capacity
        line.in_flight += sign
        tenant.in_flight += sign
        queue.in_flight += sign
        queue.room -= sign
        capacity.room -= sign

    def end(self, tenant: TenantNode, line: Line, *, charged_us: int, measured_us: int) -> None:
        """A hand-out is over: its place is free, and what it was charged becomes what it has cost."""
        self.occupy(tenant, line, sign=-1)
        if tenant.capacity.room == 1:
            self._freed.append(tenant.capacity)
        if charged_us != measured_us:
            queue, change = tenant.queue, {"predicted_us": charged_us, "measured_us": measured_us}
            line.vruntime = corrected(line.vruntime, weight_milli=KEY_WEIGHT_MILLI, **change)
            tenant.vruntime = corrected(tenant.vruntime, weight_milli=tenant.weight_milli, **change)
            queue.vruntime = corrected(queue.vruntime, weight_milli=queue.weight_milli, **change)
            self._corrected.append((tenant, line))
        tenant.lines.restand(line)
        if tenant.place is not None:
            heappush(tenant.queue.heap, tenant.stand())

    def charge_on(self, tenant: TenantNode, line: Line, cost_us: int) -> None:
        """A hand-out goes on beyond what it was charged: charged like another one that begins now.

        It keeps its slot, whoever's turn it is, so no clock goes past a child that waits.
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
        tenant.lines.restand(line)
        if tenant.place is not None:
            heappush(queue.heap, tenant.stand())

    def fold(self) -> None:
        """Everything that ended at this moment has ended: let in whoever came below its cap.

        A clock never stands before an eligible child: whom a correction brings below it takes it along, or those who
        return would wait for service that was only predicted.
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
        """Give a tenant with jobs its place, where it is below its cap. Time spent away earns no credit."""
        if tenant.place is None:
            if tenant.capacity.room <= 0:
                return
            tenant.vruntime = rejoined(tenant.vruntime, tenant.queue.virtual_time)
        heappush(tenant.queue.heap, tenant.stand())
