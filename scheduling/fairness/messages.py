"""The messages of one tick, and which of them a picked job joins.

A merged message holds small jobs of one queue and kind, a list other jobs of one queue. Each needs one slot.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from operator import attrgetter
from uuid import UUID

from scheduling.fairness.nodes import Capacity, QueueNode
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
