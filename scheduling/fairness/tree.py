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

from collections import defaultdict
from collections.abc import Callable, Iterable
from heapq import heappop, heappush, heapreplace
from operator import attrgetter
from uuid import UUID

from scheduling.fairness.nodes import KEY_WEIGHT_MILLI, UNREAD, Capacity, QueueNode, rejoined, virtual_service
from scheduling.fairness.shares import MergeRule, ReadyJob

# Every job has a message of its own.
_ALONE = MergeRule(below_us=0, jobs=1, total_us=0)


class Message:
    """An open message, with the ``tenants`` and ``lines`` that its jobs come from."""

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


class OpenLists:
    """The lists of one tick that may have more jobs."""

    __slots__ = ("_by_queue", "_by_tenant", "_rule")

    def __init__(self, rule: MergeRule) -> None:
        self._rule = rule
        self._by_queue: dict[int, list[tuple[int, int, Message]]] = defaultdict(list)
        self._by_tenant: dict[tuple[int, UUID], list[Message]] = defaultdict(list)

    def clear(self) -> None:
        """Forget the lists of the last tick."""
        self._by_queue.clear()
        self._by_tenant.clear()

    def shortest(self, queue_id: int, tenant_id: UUID | None) -> Message | None:
        """Return the open list with the least work; with ``tenant_id``, of those that have a job of this tenant."""
        if tenant_id is not None:
            lists = filter(self._is_open, self._by_tenant[queue_id, tenant_id])
            return min(lists, key=attrgetter("cost_us", "number"), default=None)
        heap = self._by_queue[queue_id]
        # A list gets a new entry with each job, so others are stale.
        while heap and not (heap[0][0] == heap[0][2].cost_us and self._is_open(heap[0][2])):
            heappop(heap)
        return heap[0][2] if heap else None

    def add(self, message: Message, queue_id: int, tenant_id: UUID, line_id: int, job: ReadyJob) -> None:
        """Put a job into a list, which may be new."""
        if tenant_id not in message.tenants:
            self._by_tenant[queue_id, tenant_id].append(message)
        message.add(tenant_id, line_id, job)
        heappush(self._by_queue[queue_id], (message.cost_us, message.number, message))

    def _is_open(self, message: Message) -> bool:
        return message.jobs < self._rule.list_jobs and message.cost_us < self._rule.list_us


class OpenMessages:
    """The messages of one tick: how many there are, and those that further jobs may join.

    ``slots`` is the number of messages that the tick may have by now; only lists depend on it.
    """

    __slots__ = ("_lists", "_merged", "_rule", "count", "slots")

    def __init__(self, rule: MergeRule | None) -> None:
        self._rule = rule or _ALONE
        self._merged: dict[tuple[int, str], Message] = {}
        self._lists = OpenLists(self._rule)
        self.count = 0
        self.slots = 0

    def clear(self) -> None:
        """Forget the messages of the last tick."""
        self._merged.clear()
        self._lists.clear()
        self.count = 0

    def joined_by(self, queue: QueueNode, capacity: Capacity, job: ReadyJob | None) -> Message | None:
        """Return the message that the job would join; None if it needs one of its own.

        If its tenant is at its cap, it may only join a message that already has a job of this tenant.
        """
        if job is None:
            return None
        has_room = capacity.room > 0
        if job.may_merge:
            message, most_us = self._merged.get((queue.queue_id, job.kind)), self._rule.total_us
            if message is None or message.jobs >= self._rule.jobs:
                return None
            if not has_room and capacity.tenant_id not in message.tenants:
                return None
        elif job.may_list and not (has_room and queue.room > 0 and self.count < self.slots):
            # Each free slot gets a list before any list gets a second job, so that all slots are used.
            message = self._lists.shortest(queue.queue_id, None if has_room else capacity.tenant_id)
            most_us = self._rule.list_us
        else:
            return None
        return message if message is not None and message.cost_us + job.cost_us <= most_us else None

    def may_take(self, queue_id: int, tenant_id: UUID | None) -> bool:
        """Return whether a job that was not read might join an open message of its queue.

        With ``tenant_id``, only messages that already have a job of this tenant count.
        """
        return self._lists.shortest(queue_id, tenant_id) is not None or any(
            message.jobs < self._rule.jobs and (tenant_id is None or tenant_id in message.tenants)
            for (of_queue, _), message in self._merged.items()
            if of_queue == queue_id
        )

    def place(self, message: Message | None, queue_id: int, tenant_id: UUID, line_id: int, job: ReadyJob) -> int:
        """Put a picked job into ``message``, or into a new one if that is None; return the message's number."""
        if message is None:
            message = Message(self.count)
            self.count += 1
            if job.may_merge:
                self._merged[queue_id, job.kind] = message
        if job.may_list:
            self._lists.add(message, queue_id, tenant_id, line_id, job)
        else:
            message.add(tenant_id, line_id, job)
        return message.number


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
