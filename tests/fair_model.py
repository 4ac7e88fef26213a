"""The fair order by the book: what the dispatcher keeps in tables, in plain objects around the same pure pick."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from scheduling.fairness.run_queue import ReadSupply, pick_fair
from scheduling.fairness.shares import KeyShare, PickResult, PoolShare, QueueShare, ReadRows, ReadyJob, TenantShare
from scheduling.fairness.virtual_time import corrected, rejoined


@dataclass
class Line:
    """The jobs of one fair key; of those without a key under ''."""

    id: int
    vruntime: int = 0
    in_flight: int = 0
    is_runnable: bool = False
    jobs: list[tuple[int, UUID, int]] = field(default_factory=list)  # rank, id, predicted cost


@dataclass
class Entity:
    """A tenant in a queue; its id is that of its own line."""

    tenant_id: UUID
    lines: dict[str, Line]
    vruntime: int = 0
    virtual_time: int = 0
    is_runnable: bool = False

    @property
    def own(self) -> Line:
        return self.lines[""]

    @property
    def head_rank(self) -> int:
        return min((line.jobs[0][0] for line in self.lines.values() if line.jobs), default=0)


@dataclass
class Tenant:
    weight_milli: int = 1_000
    cap: int = 10**6
    is_paused: bool = False
    in_flight: int = 0


@dataclass
class Queue:
    weight_milli: int = 1_000
    cap: int = 10**6
    is_paused: bool = False
    is_fifo: bool = False
    vruntime: int = 0
    virtual_time: int = 0
    was_backlogged: bool = False
    in_flight: int = 0
    entities: dict[UUID, Entity] = field(default_factory=dict)


@dataclass
class Running:
    """A job in flight, with the weights at which it was charged."""

    queue: Queue
    entity: Entity
    line: Line
    predicted_us: int
    weight_milli: int
    queue_weight_milli: int


@dataclass
class Model:
    slots: int
    queues: dict[int, Queue] = field(default_factory=dict)
    tenants: dict[UUID, Tenant] = field(default_factory=dict)
    virtual_time: int = 0
    running: dict[UUID, Running] = field(default_factory=dict)
    ended: list[tuple[Running, int]] = field(default_factory=list)

    def entity(self, queue_id: int, tenant_id: UUID, own_id: int) -> Entity:
        """The tenant in the queue, made where it is missing."""
        return self.queues[queue_id].entities.setdefault(tenant_id, Entity(tenant_id, {"": Line(own_id)}))

    def submit(self, entity: Entity, key: str, line_id: int, job: tuple[int, UUID, int]) -> None:
        insort(entity.lines.setdefault(key, Line(line_id)).jobs, job)

    def cancel(self, job_id: UUID) -> None:
        for _, entity in self.each_entity():
            for line in entity.lines.values():
                line.jobs = [job for job in line.jobs if job[1] != job_id]

    def end(self, job_id: UUID, measured_us: int) -> None:
        self.ended.append((self.running.pop(job_id), measured_us))

    def each_entity(self) -> Iterator[tuple[Queue, Entity]]:
        for queue in self.queues.values():
            for entity in queue.entities.values():
                yield queue, entity

    def tick(self) -> list[UUID]:
        """Fold what happened, pick, and take the picks: their jobs in order."""
        self.collect()
        self.return_to_eligibility()
        if len(self.running) >= self.slots:
            return []
        result = pick_fair(self.share(), self.supply())
        return self.take(result)

    def corrected(self, vruntime: int, run: Running, measured_us: int, weight_milli: int) -> int:
        return corrected(vruntime, predicted_us=run.predicted_us, measured_us=measured_us, weight_milli=weight_milli)

    def collect(self) -> None:
        """Correct every clock on the way of what ended; a parent's follows an eligible child below it."""
        for run, measured_us in self.ended:
            self.tenants[run.entity.tenant_id].in_flight -= 1
            run.queue.in_flight -= 1
            run.line.in_flight -= 1
            run.line.vruntime = self.corrected(run.line.vruntime, run, measured_us, 1_000)
            run.entity.vruntime = self.corrected(run.entity.vruntime, run, measured_us, run.weight_milli)
            run.queue.vruntime = self.corrected(run.queue.vruntime, run, measured_us, run.queue_weight_milli)
        for run, _ in self.ended:
            if run.line.is_runnable:
                run.entity.virtual_time = min(run.entity.virtual_time, run.line.vruntime)
            if run.entity.is_runnable:
                run.queue.virtual_time = min(run.queue.virtual_time, run.entity.vruntime)
            if run.queue.was_backlogged:
                self.virtual_time = min(self.virtual_time, run.queue.vruntime)
        self.ended.clear()

    def rejoined(self, vruntime: int, parent_virtual_time: int) -> int:
        return rejoined(vruntime, parent_virtual_time)

    def return_to_eligibility(self) -> None:
        for queue, entity in self.each_entity():
            tenant = self.tenants[entity.tenant_id]
            for line in entity.lines.values():
                if line.jobs and not line.is_runnable:
                    line.vruntime = self.rejoined(line.vruntime, entity.virtual_time)
                line.is_runnable = bool(line.jobs)
            may_run = not tenant.is_paused and tenant.in_flight < tenant.cap
            is_runnable = may_run and any(line.is_runnable for line in entity.lines.values())
            if is_runnable and not entity.is_runnable:
                entity.vruntime = self.rejoined(entity.vruntime, queue.virtual_time)
            entity.is_runnable = is_runnable

    def share(self) -> PoolShare:
        return PoolShare(
            virtual_time=self.virtual_time,
            room=max(0, self.slots - len(self.running)),
            queues=[
                QueueShare(
                    queue_id=queue_id,
                    weight_milli=queue.weight_milli,
                    vruntime=queue.vruntime,
                    virtual_time=queue.virtual_time,
                    was_backlogged=queue.was_backlogged,
                    room=queue.cap - queue.in_flight,
                    is_fifo=queue.is_fifo,
                    tenants=[self.tenant_share(entity) for entity in queue.entities.values() if entity.is_runnable],
                    in_flight=queue.in_flight,
                )
                for queue_id, queue in self.queues.items()
                if not queue.is_paused
            ],
            tenant_room={id_: tenant.cap - tenant.in_flight for id_, tenant in self.tenants.items()},
        )

    def tenant_share(self, entity: Entity) -> TenantShare:
        return TenantShare(
            entity_id=entity.own.id,
            tenant_id=entity.tenant_id,
            weight_milli=self.tenants[entity.tenant_id].weight_milli,
            vruntime=entity.vruntime,
            in_flight=sum(line.in_flight for line in entity.lines.values()),
            head_rank=entity.head_rank,
            waiting=sum(len(line.jobs) for line in entity.lines.values()),
            estimate_us=0,
            virtual_time=entity.virtual_time,
            keys=[
                KeyShare(line.id, line.vruntime, line.in_flight, line.jobs[0][0], len(line.jobs), 0)
                for line in entity.lines.values()
                if line.is_runnable
            ],
        )

    def supply(self) -> ReadSupply:
        return ReadSupply(
            {
                line.id: ReadRows(len(line.jobs) + 1, [ReadyJob(id_, rank, "", cost) for rank, id_, cost in line.jobs])
                for _, entity in self.each_entity()
                for line in entity.lines.values()
            }
        )

    def take(self, result: PickResult) -> list[UUID]:
        self.virtual_time = result.virtual_time
        lines = {line.id: line for _, entity in self.each_entity() for line in entity.lines.values()}
        entities = {entity.own.id: entity for _, entity in self.each_entity()}
        for pick in result.picks:
            queue, entity, line = self.queues[pick.queue_id], entities[pick.tenant_entity_id], lines[pick.entity_id]
            _, job_id, cost_us = line.jobs.pop(0)
            assert job_id == pick.job.job_id
            line.in_flight += 1
            queue.in_flight += 1
            tenant = self.tenants[pick.tenant_id]
            tenant.in_flight += 1
            self.running[job_id] = Running(queue, entity, line, cost_us, tenant.weight_milli, queue.weight_milli)
        for queue_id, tags in result.queues.items():
            queue = self.queues[queue_id]
            queue.vruntime, queue.virtual_time = tags.vruntime, tags.virtual_time
            queue.was_backlogged = tags.is_backlogged
        for entity_id, clocks in result.tenants.items():
            entities[entity_id].vruntime, entities[entity_id].virtual_time = clocks.vruntime, clocks.virtual_time
            for line_id, vruntime in clocks.keys.items():
                lines[line_id].vruntime = vruntime
        for _, entity in self.each_entity():
            tenant = self.tenants[entity.tenant_id]
            for line in entity.lines.values():
                line.is_runnable = line.is_runnable and bool(line.jobs)
            if tenant.in_flight >= tenant.cap or not any(line.jobs for line in entity.lines.values()):
                entity.is_runnable = False
        return [pick.job.job_id for pick in result.picks if pick.job.job_id is not None]
