"""The tree of a simulation: jobs arrive, yield and end over time, while a tick's tree is built once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, cast

from scheduling.fairness.nodes import (
    KEY_WEIGHT_MILLI,
    Capacity,
    KeyNode,
    KeyNodes,
    TenantNode,
    corrected,
    rejoined,
    virtual_service,
)
from scheduling.fairness.shares import ReadyJob
from scheduling.fairness.tree import FairTree


class GrowingKeyNode(KeyNode):
    """A node to which jobs are added over time, for simulations."""

    __slots__ = ("behind",)

    def __init__(self, entity_id: int) -> None:
        self.behind: deque[ReadyJob] = deque()
        super().__init__(entity_id, self._drain())

    def _drain(self) -> Iterator[ReadyJob | None]:
        behind = self.behind
        while True:
            yield behind.popleft() if behind else None

    def append(self, job: ReadyJob) -> None:
        """Add a job behind all others."""
        if self.head is None:
            self.head, self.rank = job, job.rank
        else:
            self.behind.append(job)

    def put_first(self, job: ReadyJob) -> None:
        """Put a job back before all others."""
        if self.head is not None:
            self.behind.appendleft(self.head)
        self.head, self.rank = job, job.rank


class GrowingKeyNodes(KeyNodes):
    """The lines of a tenant to which jobs are added."""

    __slots__ = ()

    def append(self, line: GrowingKeyNode, job: ReadyJob) -> bool:
        """Add a job to its node; return whether it is the node's only job, so that the tenant's place may change."""
        is_first = line.head is None
        line.append(job)
        if is_first:
            self._return(line)
        return is_first

    def put_first(self, line: GrowingKeyNode, job: ReadyJob) -> None:
        """Put a job back before the other jobs of its node."""
        was_empty = line.head is None
        line.put_first(job)
        if was_empty:
            self._return(line)
        elif self._only is None:
            heappush(self._heap, self._new_entry(line))
            heappush(self._ranks, (line.rank, line.entity_id, line))

    def reposition(self, line: KeyNode) -> None:
        """Update the node's place in the heap after its virtual time or counts changed."""
        if self._only is None and line.head is not None:
            heappush(self._heap, self._new_entry(line))

    def advance_clock(self, vruntime: int) -> None:
        """Advance the clock after a node was served at ``vruntime`` out of order, but not beyond a node with jobs."""
        ready = (line.vruntime for line in self.all if line.head is not None)
        self.virtual_time = max(self.virtual_time, min([vruntime, *ready]))

    def hold_back(self, line: KeyNode) -> None:
        """Lower the clock if it is ahead of this node and the node has jobs."""
        if line.head is not None and line.vruntime < self.virtual_time:
            self.virtual_time = line.vruntime

    def _return(self, line: KeyNode) -> None:
        """Make a line ready again: time without jobs earns no credit."""
        self.ready += 1
        line.vruntime = rejoined(line.vruntime, self.virtual_time)
        if self._only is None:
            heappush(self._heap, self._new_entry(line))
            heappush(self._ranks, (line.rank, line.entity_id, line))


class GrowingTree(FairTree):
    """A pool's tree with lines to which jobs are added."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._freed: list[Capacity] = []
        self._corrected: list[tuple[TenantNode, KeyNode]] = []

    def has_any(self) -> bool:
        """Return whether any queue has a tenant in its heap, which may be waiting below its cap."""
        for queue in self.queues:  # noqa: SIM110 - `any` takes three times as long
            if queue.heap:
                return True
        return False

    def arrive(self, tenant: TenantNode, line: GrowingKeyNode, job: ReadyJob) -> None:
        """Add a job that arrives behind the others of its line."""
        if _lines_of(tenant).append(line, job):
            self._restand(tenant)

    def give_back(self, tenant: TenantNode, line: GrowingKeyNode, job: ReadyJob) -> None:
        """Put a job that has yielded back before the others of its line."""
        _lines_of(tenant).put_first(line, job)
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
        _lines_of(tenant).reposition(line)
        if tenant.entry is not None:
            heappush(tenant.queue.heap, tenant.new_entry())

    def charge_on(self, tenant: TenantNode, line: KeyNode, cost_us: int) -> None:
        """Charge a job that runs longer than it was charged for, as if it were dispatched again now.

        It keeps its slot out of order, so no clock passes a waiting child.
        """
        queue = tenant.queue
        while queue.heap and queue.heap[0].node.entry is not queue.heap[0]:
            heappop(queue.heap)
        first = [queue.heap[0].node.vruntime] if queue.heap else []
        backlogged = [other.vruntime for other in self.queues if other.is_backlogged]
        self.virtual_time = max(self.virtual_time, min([queue.vruntime, *backlogged]))
        queue.virtual_time = max(queue.virtual_time, min([tenant.vruntime, *first]))
        _lines_of(tenant).advance_clock(line.vruntime)
        queue.vruntime += virtual_service(cost_us, queue.weight_milli)
        tenant.vruntime += virtual_service(cost_us, tenant.weight_milli)
        line.vruntime += virtual_service(cost_us, KEY_WEIGHT_MILLI)
        _lines_of(tenant).reposition(line)
        if tenant.entry is not None:
            heappush(queue.heap, tenant.new_entry())

    def fold(self) -> None:
        """Apply all ends of this moment, and put tenants back into the heaps that are below their cap again.

        A clock never exceeds an eligible child: one that a correction moves below it lowers it, or returning tenants
        would wait for service that was only predicted.
        """
        while self._corrected:
            tenant, line = self._corrected.pop()
            queue = tenant.queue
            _lines_of(tenant).hold_back(line)
            if tenant.entry is not None:
                queue.virtual_time = min(queue.virtual_time, tenant.vruntime)
            if queue.is_backlogged:
                self.virtual_time = min(self.virtual_time, queue.vruntime)
        while self._freed:
            for tenant in self._freed.pop().nodes:
                if tenant.lines.ready and tenant.entry is None:
                    self._restand(tenant)

    def _restand(self, tenant: TenantNode) -> None:
        """Give a tenant with jobs its place if it is below its cap. Time without jobs earns no credit."""
        if tenant.entry is None:
            if tenant.capacity.room <= 0:
                return
            tenant.vruntime = rejoined(tenant.vruntime, tenant.queue.virtual_time)
        heappush(tenant.queue.heap, tenant.new_entry())


def _lines_of(tenant: TenantNode) -> GrowingKeyNodes:
    return cast("GrowingKeyNodes", tenant.lines)
