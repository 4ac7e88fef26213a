"""The fair tree while time passes: who arrives, who ends, and who gets the next free slot.

The order is the dispatcher's: least queue, in it the least tenant, in it the least fair key; ties go to whoever has
fewest in flight, then to whoever waits longest. What the dispatcher reads from its tables at each tick is kept here
in heaps that outlive a pick, so that a pick costs the logarithm of the tenants and not their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from math import inf

from scheduling.fairness.fair_keys import KeyedJobs
from scheduling.fairness.virtual_time import corrected, rejoined, virtual_service

# (order, in flight, rank, number, entity): the key of a pick, and whom it picks.
Entry = tuple[int, int, int, int, "Entity"]


@dataclass(frozen=True, slots=True)
class QueueShape:
    """A queue of the simulated pool."""

    weight_milli: int = 1_000
    cap: float = inf
    is_fifo: bool = False


@dataclass(frozen=True, slots=True)
class EntityShape:
    """A tenant in a queue, both by their number."""

    queue: int
    tenant: int
    weight_milli: int
    vruntime: int = 0


@dataclass(frozen=True, slots=True)
class TreeShape:
    """A pool: its queues, its tenants' caps, and which tenant is in which queue."""

    queues: Sequence[QueueShape]
    caps: Sequence[float]
    entities: Sequence[EntityShape]


class Tenant:
    """What of a tenant runs over all queues."""

    __slots__ = ("cap", "entities", "in_flight")

    def __init__(self, cap: float) -> None:
        self.cap = cap
        self.in_flight = 0
        self.entities: list[Entity] = []


class Queue:
    """A queue's clock, and its runnable tenants in order. Entries that no entity owns any more are stale."""

    __slots__ = (
        "cap",
        "heap",
        "in_flight",
        "is_backlogged",
        "is_fifo",
        "number",
        "runnable",
        "virtual_time",
        "vruntime",
        "weight_milli",
    )

    def __init__(self, number: int, shape: QueueShape) -> None:
        self.number = number
        self.weight_milli = shape.weight_milli
        self.cap = shape.cap
        self.is_fifo = shape.is_fifo
        self.heap: list[Entry] = []
        self.in_flight = 0
        self.runnable = 0
        self.is_backlogged = False
        self.vruntime = 0
        self.virtual_time = 0

    def turn(self) -> tuple[int, int, int, int]:
        """Its place among the queues, once its head was looked at: the same four numbers as a tenant's."""
        return (self.vruntime, self.in_flight, self.heap[0][2], self.number)

    def head(self) -> Entity | None:
        """The tenant whose turn it is in this queue."""
        heap = self.heap
        if self.in_flight >= self.cap:
            return None
        while heap:
            entry = heap[0]
            if entry[4].entry is entry:
                return entry[4]
            heappop(heap)
        return None


class Entity:
    """A tenant in a queue with the jobs that wait there, by their numbers in order of arrival.

    ``keys`` is ``jobs`` itself where the tenant's jobs have fair keys, else None.
    """

    __slots__ = ("entry", "in_flight", "jobs", "keys", "number", "queue", "tenant", "vruntime", "weight_milli")

    def __init__(self, number: int, shape: EntityShape, queue: Queue, tenant: Tenant) -> None:
        self.number = number
        self.queue = queue
        self.tenant = tenant
        self.weight_milli = shape.weight_milli
        self.vruntime = shape.vruntime
        self.in_flight = 0
        self.keys: KeyedJobs | None = None
        self.jobs: deque[int] | KeyedJobs = deque()
        self.entry: Entry | None = None

    def split_by(self, keys: KeyedJobs) -> None:
        """Order the tenant's own jobs by their fair keys."""
        self.jobs = self.keys = keys


class FairTree:
    """A pool's tree. ``charge`` tells what a job is charged when it is dispatched."""

    def __init__(self, shape: TreeShape, charge: Callable[[int], int]) -> None:
        self.charge = charge
        self.queues = [Queue(number, queue) for number, queue in enumerate(shape.queues)]
        self.tenants = [Tenant(cap) for cap in shape.caps]
        self.entities: list[Entity] = []
        self.virtual_time = 0
        self.freed: list[Tenant] = []
        for number, share in enumerate(shape.entities):
            entity = Entity(number, share, self.queues[share.queue], self.tenants[share.tenant])
            entity.tenant.entities.append(entity)
            self.entities.append(entity)

    def arrive(self, entity: Entity, job: int) -> None:
        """A job that waits behind its tenant's others."""
        entity.jobs.append(job)
        if entity.entry is None and entity.tenant.in_flight < entity.tenant.cap:
            self._join(entity)

    def give_back(self, entity: Entity, job: int) -> None:
        """A job that waits again, before its tenant's others: it is the oldest."""
        entity.jobs.appendleft(job)
        if entity.entry is not None:
            self._reorder(entity)
        elif entity.tenant.in_flight < entity.tenant.cap:
            self._join(entity)

    def occupy(self, entity: Entity, job: int) -> None:
        """A job that runs already when the simulation begins; it was charged before."""
        entity.in_flight += 1
        entity.queue.in_flight += 1
        entity.tenant.in_flight += 1
        if entity.keys is not None:
            entity.keys.occupy(job)

    def end(self, entity: Entity, job: int, charged_us: int, measured_us: int) -> None:
        """A slot of the entity's is free again, and its charge is corrected to what was measured."""
        queue, tenant = entity.queue, entity.tenant
        was_capped = tenant.in_flight >= tenant.cap
        entity.in_flight -= 1
        queue.in_flight -= 1
        tenant.in_flight -= 1
        if charged_us != measured_us:
            measure = {"predicted_us": charged_us, "measured_us": measured_us}
            entity.vruntime = corrected(entity.vruntime, weight_milli=entity.weight_milli, **measure)
            queue.vruntime = corrected(queue.vruntime, weight_milli=queue.weight_milli, **measure)
        if entity.keys is not None:
            entity.keys.end(job, charged_us, measured_us)
        if entity.entry is not None:
            self._reorder(entity)
        if was_capped and tenant.in_flight < tenant.cap:
            self.freed.append(tenant)

    def admit_freed(self) -> None:
        """Let in again whoever came below its cap; like a tick, after all corrections of the moment."""
        for tenant in self.freed:
            for entity in tenant.entities:
                if entity.jobs and entity.entry is None:
                    self._join(entity)
        self.freed.clear()

    def begin_tick(self) -> None:
        """Slots are to be given. A queue that comes back does so where the others are."""
        for queue in self.queues:
            if not queue.is_backlogged:
                queue.vruntime = rejoined(queue.vruntime, self.virtual_time)
                queue.is_backlogged = queue.head() is not None

    def head(self) -> Entity | None:
        """Whose turn it is: the least queue's least tenant."""
        queues = self.queues
        if len(queues) == 1:
            return queues[0].head()
        least: Entity | None = None
        for queue in queues:
            if (head := queue.head()) is None:
                continue
            if (
                least is None
                or queue.vruntime < least.queue.vruntime
                or (queue.vruntime == least.queue.vruntime and queue.turn() < least.queue.turn())
            ):
                least = head
        return least

    def pick(self) -> tuple[Entity, int] | None:
        """Give the next slot: the entity and its job; None when nobody may start."""
        entity = self.head()
        if entity is None:
            return None
        queue, tenant = entity.queue, entity.tenant
        job = entity.jobs.popleft()
        cost_us = self.charge(job)
        start_tag = entity.vruntime
        self.virtual_time = max(self.virtual_time, queue.vruntime)
        queue.virtual_time = max(queue.virtual_time, start_tag)
        entity.vruntime = start_tag + virtual_service(cost_us, entity.weight_milli)
        queue.vruntime += virtual_service(cost_us, queue.weight_milli)
        entity.in_flight += 1
        queue.in_flight += 1
        tenant.in_flight += 1
        if tenant.in_flight >= tenant.cap:
            for other in tenant.entities:
                self._leave(other)
        elif entity.jobs:
            rank = entity.jobs[0]
            order = rank if queue.is_fifo else entity.vruntime
            entity.entry = entry = (order, entity.in_flight, rank, entity.number, entity)
            heapreplace(queue.heap, entry)
        else:
            self._leave(entity)
        if queue.in_flight >= queue.cap:
            queue.is_backlogged = False
        return entity, job

    def _join(self, entity: Entity) -> None:
        """Back to eligibility where the others are: time spent away earns no credit."""
        queue = entity.queue
        entity.vruntime = rejoined(entity.vruntime, queue.virtual_time)
        queue.runnable += 1
        self._reorder(entity)

    def _leave(self, entity: Entity) -> None:
        if entity.entry is not None:
            entity.entry = None
            entity.queue.runnable -= 1
            if not entity.queue.runnable:
                entity.queue.is_backlogged = False

    def _reorder(self, entity: Entity) -> None:
        queue, rank = entity.queue, entity.jobs[0]
        order = rank if queue.is_fifo else entity.vruntime
        entity.entry = entry = (order, entity.in_flight, rank, entity.number, entity)
        heappush(queue.heap, entry)
