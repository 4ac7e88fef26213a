"""The fair-share tree pool → queue → tenant → fair key: which job is next, and how virtual times change.

At each level the next is the eligible child of least virtual start time. Ties go to the child with fewest in flight,
then to the one that waits longest, then to the lower id. A dispatch charges the job's predicted cost, divided by the
weight, at every level on its way; its end corrects that to the measured cost. Keys weigh the same.

A tick builds the tree from what it has read and picks once; a simulation keeps it over time (`lab.growing_tree`). A
waiting child is in a heap of its parent. If its place changes it gets a new entry, and the old one is skipped when it
comes up, so that every change costs the logarithm of its siblings.

Jobs share a message, and its slot. This does not change the order of the picks. A small job joins the open message of
its queue and kind, if there is one. Any other opens a list while a slot is free, and then joins the list of its queue
with the least work. No job is skipped to fill a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heapreplace
from operator import attrgetter

from scheduling.fairness.messages import OpenMessages
from scheduling.fairness.nodes import KEY_WEIGHT_MILLI, UNREAD, Capacity, QueueNode, rejoined, virtual_service
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
                tenant.entry = None

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
            entry = heap[0]
            tenant = entry.node
            if tenant.entry is not entry:
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
            if self.messages.joined_by(queue, tenant.capacity, job) is not None:
                return True
            if has_room:
                return False
            heappop(heap)
            tenant.entry = None
        return False

    def joins(self, queue: QueueNode) -> bool:
        """Return whether the queue's next job joins an open message, and so needs no slot."""
        tenant = queue.heap[0].node
        return self.messages.joined_by(queue, tenant.capacity, tenant.lines.next().head) is not None

    def take(self, queue: QueueNode) -> tuple[ReadyJob, int]:
        """Take the queue's next job and charge it at every level; return the job and the number of its message."""
        heap = queue.heap
        tenant = heap[0].node
        line, capacity = tenant.lines.next(), tenant.capacity
        job = line.head
        assert job is not None
        assert job is not UNREAD
        cost_us = self.cost_of(job)
        message = self.messages.joined_by(queue, capacity, job)
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
            heapreplace(heap, tenant.new_entry())
        else:
            heappop(heap)
            tenant.entry = None
        return job, number
