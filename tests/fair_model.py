"""Reference model of the fair order: the dispatcher's tables as plain objects around the same pure pick."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from uuid import UUID

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements
from scheduling.fairness.nodes import corrected, rejoined
from scheduling.fairness.run_queue import ReadJobs, pick_fair
from scheduling.fairness.shares import (
    KeyShare,
    MergeRule,
    PickResult,
    PoolShare,
    QueueShare,
    ReadRows,
    ReadyJob,
    TenantShare,
)


class Waiting(NamedTuple):
    """Job that may start, with its predicted cost."""

    rank: int
    job_id: UUID
    cost_us: int
    kind: str = ""
    may_merge: bool = False
    may_list: bool = False


@dataclass(eq=False)
class Line:
    """Jobs of one fair key; those without a key are under ''."""

    id: int
    vruntime: int = 0
    in_flight: int = 0
    is_runnable: bool = False
    jobs: list[Waiting] = field(default_factory=list)


@dataclass(eq=False)
class Entity:
    """Tenant in a queue; its id is that of its own line."""

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


@dataclass(eq=False)
class Tenant:
    weight_milli: int = 1_000
    cap: int = 10**6
    is_paused: bool = False
    in_flight: int = 0


@dataclass(eq=False)
class Queue:
    """Queue; ``tokens`` is the number of jobs that its rate grants at this tick."""

    weight_milli: int = 1_000
    cap: int = 10**6
    is_fifo: bool = False
    tokens: int = 10**6
    is_paused: bool = False
    vruntime: int = 0
    virtual_time: int = 0
    was_backlogged: bool = False
    in_flight: int = 0
    entities: dict[UUID, Entity] = field(default_factory=dict)


@dataclass(eq=False)
class Running:
    """Job in flight, with the weights at which it was charged. Jobs of one message share a place everywhere."""

    message: tuple[int, int]
    tenant: Tenant
    queue: Queue
    entity: Entity
    line: Line
    predicted_us: int
    weight_milli: int
    queue_weight_milli: int


@dataclass(eq=False)
class Model:
    """Pool. ``tenants`` may be shared with the models of other pools, which their caps span.

    ``ending`` are messages with finished work: they hold no slot, except if a cap or reserve depends on their
    settlement, but everything else of a running job.
    """

    slots: int
    queues: dict[int, Queue] = field(default_factory=dict)
    tenants: dict[UUID, Tenant] = field(default_factory=dict)
    virtual_time: int = 0
    running: dict[UUID, Running] = field(default_factory=dict)
    ended: list[tuple[Running, int]] = field(default_factory=list)
    merging: MergeRule | None = None
    reserved: int = 0
    ticks: int = 0
    ending: set[tuple[int, int]] = field(default_factory=set)

    def entity(self, queue_id: int, tenant_id: UUID, own_id: int) -> Entity:
        """Return the tenant in the queue; create it if it is missing."""
        return self.queues[queue_id].entities.setdefault(tenant_id, Entity(tenant_id, {"": Line(own_id)}))

    def submit(self, entity: Entity, key: str, line_id: int, job: tuple[int, UUID, int]) -> None:
        insort(entity.lines.setdefault(key, Line(line_id)).jobs, Waiting(*job))

    def cancel(self, job_id: UUID) -> None:
        for _, entity in self.each_entity():
            for line in entity.lines.values():
                line.jobs = [job for job in line.jobs if job.job_id != job_id]

    def end(self, job_id: UUID, measured_us: int) -> None:
        self.ended.append((self.running.pop(job_id), measured_us))

    def each_entity(self) -> Iterator[tuple[Queue, Entity]]:
        for queue in self.queues.values():
            for entity in queue.entities.values():
                yield queue, entity

    @property
    def free(self) -> int:
        """Return the slots that no message holds."""
        held = {run.message for run in self.running.values() if run.message not in self.ending or self.is_bound(run)}
        return max(0, self.slots - len(held))

    def is_bound(self, run: Running) -> bool:
        """Return whether a cap or a reserve makes others of its tenant or queue wait for its settlement."""
        is_at_cap = run.tenant.in_flight >= run.tenant.cap or run.queue.in_flight >= run.queue.cap
        return is_at_cap or self.reserved > 0

    def tick(self, limit: int | None = None) -> list[UUID]:
        """Fold events, pick at most ``limit`` jobs and claim them; return their ids in order.

        No clock changes if no slot is free or no job may start.
        """
        self.collect()
        self.return_to_eligibility()
        share = self.with_reserve(self.share())
        if not share.room or not any(queue.tenants for queue in share.queues):
            return []
        most = None if limit is None and self.merging is None else 10**6 if limit is None else limit
        return self.take(pick_fair(replace(share, limit=most), self.supply(share)))

    def corrected(self, vruntime: int, run: Running, measured_us: int, weight_milli: int) -> int:
        return corrected(vruntime, predicted_us=run.predicted_us, measured_us=measured_us, weight_milli=weight_milli)

    def collect(self) -> None:
        """Correct every clock on the path of ended jobs; a parent's follows an eligible child."""
        for run, measured_us in self.ended:
            run.line.vruntime = self.corrected(run.line.vruntime, run, measured_us, 1_000)
            run.entity.vruntime = self.corrected(run.entity.vruntime, run, measured_us, run.weight_milli)
            run.queue.vruntime = self.corrected(run.queue.vruntime, run, measured_us, run.queue_weight_milli)
        for run, _ in self.ended:
            for line in (run.line, run.entity.own):
                if line.is_runnable:
                    run.entity.virtual_time = min(run.entity.virtual_time, line.vruntime)
            if run.entity.is_runnable:
                run.queue.virtual_time = min(run.queue.virtual_time, run.entity.vruntime)
            if run.queue.was_backlogged:
                self.virtual_time = min(self.virtual_time, run.queue.vruntime)
        over = places(run for run, _ in self.ended) - places(self.running.values()) if self.ended else ()
        for _, holder in over:
            holder.in_flight -= 1
        self.ended.clear()

    def rejoined(self, vruntime: int, parent_virtual_time: int) -> int:
        return rejoined(vruntime, parent_virtual_time)

    def return_to_eligibility(self) -> None:
        for queue, entity in self.each_entity():
            tenant = self.tenants[entity.tenant_id]
            has_jobs = False
            for line in entity.lines.values():
                if line.jobs and not line.is_runnable:
                    line.vruntime = self.rejoined(line.vruntime, entity.virtual_time)
                line.is_runnable = bool(line.jobs)
                has_jobs = has_jobs or line.is_runnable
            is_runnable = has_jobs and not tenant.is_paused and tenant.in_flight < tenant.cap
            if is_runnable and not entity.is_runnable:
                entity.vruntime = self.rejoined(entity.vruntime, queue.virtual_time)
            entity.is_runnable = is_runnable

    def share(self) -> PoolShare:
        return PoolShare(
            virtual_time=self.virtual_time,
            room=self.free,
            queues=[
                QueueShare(
                    queue_id=queue_id,
                    weight_milli=queue.weight_milli,
                    vruntime=queue.vruntime,
                    virtual_time=queue.virtual_time,
                    was_backlogged=queue.was_backlogged,
                    room=min(queue.cap - queue.in_flight, queue.tokens),
                    is_fifo=queue.is_fifo,
                    tenants=[self.tenant_share(entity) for entity in queue.entities.values() if entity.is_runnable],
                    in_flight=queue.in_flight,
                )
                for queue_id, queue in self.queues.items()
                if not queue.is_paused
            ],
            tenant_room={id_: tenant.cap - tenant.in_flight for id_, tenant in self.tenants.items()},
            merging=self.merging,
        )

    def with_reserve(self, share: PoolShare) -> PoolShare:
        """Return the share with the entitlements of all eligible or running tenants, if slots are reserved."""
        if not self.reserved or not share.room:
            return share
        demands = []
        running = {(id(run.queue), run.entity.tenant_id) for run in self.running.values()}
        for queue in share.queues:
            own = self.queues[queue.queue_id]
            wanting = {tenant.tenant_id for tenant in queue.tenants}
            wanting |= {tenant_id for tenant_id in own.entities if (id(own), tenant_id) in running}
            tenants = [
                TenantDemand(id_, self.tenants[id_].weight_milli / 1_000, self.tenants[id_].cap) for id_ in wanting
            ]
            demands.append(QueueDemand(queue.queue_id, own.weight_milli / 1_000, own.cap, tenants))
        parts = entitlements(self.slots, [demand for demand in demands if demand.tenants])
        queues = [
            replace(
                queue,
                tenants=[
                    replace(tenant, entitled_slots=parts.get((queue.queue_id, tenant.tenant_id), 0.0))
                    for tenant in queue.tenants
                ],
            )
            for queue in share.queues
        ]
        return replace(share, queues=queues, reserved=min(share.room, self.reserved))

    def tenant_share(self, entity: Entity) -> TenantShare:
        runnable = [line for line in entity.lines.values() if line.is_runnable]
        return TenantShare(
            entity_id=entity.own.id,
            tenant_id=entity.tenant_id,
            weight_milli=self.tenants[entity.tenant_id].weight_milli,
            vruntime=entity.vruntime,
            in_flight=sum(line.in_flight for line in entity.lines.values()),
            head_rank=entity.head_rank,
            waiting=sum(len(line.jobs) for line in runnable),
            estimate_us=0,
            virtual_time=entity.virtual_time,
            keys=[
                KeyShare(line.id, line.vruntime, line.in_flight, line.jobs[0].rank, len(line.jobs), 0)
                for line in runnable
            ],
        )

    def supply(self, share: PoolShare) -> ReadJobs:
        """Return one more job of each line than could start, so that reading shows whether any is left."""
        most = share.room + 1 if self.merging is None else 10**6
        rows = {}
        for _, entity in self.each_entity():
            for line in entity.lines.values() if entity.is_runnable else ():
                jobs = [
                    ReadyJob(job.job_id, job.rank, job.kind, job.cost_us, job.may_merge, may_list=job.may_list)
                    for job in line.jobs[:most]
                ]
                rows[line.id] = ReadRows(min(most, len(line.jobs) + 1), jobs)
        return ReadJobs(rows)

    def take(self, result: PickResult) -> list[UUID]:
        self.ticks += 1
        self.virtual_time = result.virtual_time
        entities = {entity.own.id: entity for _, entity in self.each_entity()}
        lines = {line.id: line for entity in entities.values() for line in entity.lines.values()}
        before = places(self.running.values())
        for pick in result.picks:
            queue, entity, line = self.queues[pick.queue_id], entities[pick.tenant_entity_id], lines[pick.entity_id]
            job = line.jobs.pop(0)
            assert job.job_id == pick.job.job_id
            tenant, message = self.tenants[pick.tenant_id], (self.ticks, pick.message)
            self.running[job.job_id] = Running(
                message, tenant, queue, entity, line, job.cost_us, tenant.weight_milli, queue.weight_milli
            )
        for _, holder in places(self.running.values()) - before:
            holder.in_flight += 1
        for queue_id, tags in result.queues.items():
            queue = self.queues[queue_id]
            queue.vruntime, queue.virtual_time = tags.vruntime, tags.virtual_time
            queue.was_backlogged = tags.is_backlogged
        for entity_id, clocks in result.tenants.items():
            entities[entity_id].vruntime, entities[entity_id].virtual_time = clocks.vruntime, clocks.virtual_time
            for line_id, vruntime in clocks.keys.items():
                lines[line_id].vruntime = vruntime
        self.leave_eligibility()
        return [pick.job.job_id for pick in result.picks if pick.job.job_id is not None]

    def leave_eligibility(self) -> None:
        """Mark lines without jobs, and tenants at their cap, as not runnable."""
        for _, entity in self.each_entity():
            tenant = self.tenants[entity.tenant_id]
            for line in entity.lines.values():
                line.is_runnable = line.is_runnable and bool(line.jobs)
            if tenant.in_flight >= tenant.cap or not any(line.jobs for line in entity.lines.values()):
                entity.is_runnable = False


def places(runs: Iterable[Running]) -> set[tuple[tuple[int, int], Tenant | Queue | Line]]:
    """Return the places in flight: each message once with each holder."""
    return {(run.message, holder) for run in runs for holder in (run.tenant, run.queue, run.line)}
