"""The dispatcher in a few lines: what it reads, `pick_fair`, what it writes. A model to compare the simulation with."""

from __future__ import annotations

from math import inf
from uuid import UUID

from scheduling.fairness.run_queue import ReadSupply, pick_fair
from scheduling.fairness.shares import KeyShare, PoolShare, QueueShare, ReadRows, ReadyJob, TenantShare
from scheduling.fairness.simulation import Arrivals, TreeShape
from scheduling.fairness.virtual_time import MILLI, corrected, rejoined

# Ids of keys, beside those of the tenants' entities.
FIRST_KEY_ID = 1_000
PLENTY = 1_000_000


class DispatcherModel:
    """One tick at each moment at which something arrives or ends: collect, fold wakes, pick, write the clocks."""

    def __init__(self, jobs: Arrivals, shape: TreeShape, slots: int) -> None:
        self.jobs, self.shape, self.slots = jobs, shape, slots
        self.charges = jobs.predicted_us or jobs.cost_us
        self.waiting: list[list[int]] = [[] for _ in shape.entities]
        self.vruntimes = [0] * len(shape.entities)
        self.in_flight = [0] * len(shape.entities)
        self.is_runnable = [False] * len(shape.entities)
        self.virtual_times = [0] * len(shape.entities)
        self.keys: dict[int, list[int]] = {}  # [virtual time, in flight, whether it had jobs]
        self.queues = [[0, 0, False] for _ in shape.queues]  # [vruntime, virtual time, was backlogged]
        self.pool_virtual_time = 0
        self.running: list[tuple[int, int]] = []
        self.spans: list[tuple[int, int, int]] = []

    def run(self) -> list[tuple[int, int, int]]:
        coming = list(range(len(self.jobs)))
        while coming or self.running:
            now = min([end for end, _ in self.running] + [self.jobs.at_us[job] for job in coming[:1]])
            for end, job in sorted(self.running):
                if end <= now:
                    self.running.remove((end, job))
                    self.collect(job)
            while coming and self.jobs.at_us[coming[0]] <= now:
                job = coming.pop(0)
                self.waiting[self.jobs.entity[job]].append(job)
            self.fold_wakes()
            if len(self.running) < self.slots:
                self.tick(now)
        return self.spans

    def collect(self, job: int) -> None:
        entity = self.jobs.entity[job]
        queue = self.queues[self.shape.entities[entity].queue]
        charge = {"predicted_us": self.charges[job], "measured_us": self.jobs.cost_us[job]}
        self.in_flight[entity] -= 1
        weight = self.shape.entities[entity].weight_milli
        self.vruntimes[entity] = corrected(self.vruntimes[entity], weight_milli=weight, **charge)
        queue_weight = self.shape.queues[self.shape.entities[entity].queue].weight_milli
        queue[0] = corrected(queue[0], weight_milli=queue_weight, **charge)
        if self.jobs.key is not None:
            key = self.keys[self.jobs.key[job]]
            key[0] = corrected(key[0], weight_milli=MILLI, **charge)
            key[1] -= 1

    def fold_wakes(self) -> None:
        for entity, jobs in enumerate(self.waiting):
            may_run = bool(jobs) and self.room_of(self.shape.entities[entity].tenant) > 0
            if may_run and not self.is_runnable[entity]:
                queue = self.queues[self.shape.entities[entity].queue]
                self.vruntimes[entity] = rejoined(self.vruntimes[entity], queue[1])
            self.is_runnable[entity] = may_run
            if self.jobs.key is not None:
                present = {self.jobs.key[job] for job in jobs}
                for number in present:
                    key = self.keys.setdefault(number, [0, 0, False])
                    if not key[2]:
                        key[0] = rejoined(key[0], self.virtual_times[entity])
                    key[2] = True

    def room_of(self, tenant: int) -> int:
        used = sum(self.in_flight[e] for e, row in enumerate(self.shape.entities) if row.tenant == tenant)
        return int(self.shape.caps[tenant]) - used

    def tick(self, now: int) -> None:
        queues = [self.read_queue(number) for number in range(len(self.queues))]
        room = {UUID(int=tenant): self.room_of(tenant) for tenant in range(len(self.shape.caps))}
        pool = PoolShare(self.pool_virtual_time, self.slots - len(self.running), queues, room)
        result = pick_fair(pool, ReadSupply(self.read_rows()))
        self.pool_virtual_time = result.virtual_time
        for number, tags in result.queues.items():
            self.queues[number] = [tags.vruntime, tags.virtual_time, tags.is_backlogged]
        for entity, tags in result.tenants.items():
            self.vruntimes[entity] = tags.vruntime
            if self.jobs.key is not None:
                self.virtual_times[entity] = tags.virtual_time
                for key_id, vruntime in tags.keys.items():
                    self.keys[key_id - FIRST_KEY_ID][0] = vruntime
        for pick in result.picks:
            self.begin(pick.job.rank, now)
        for entity, jobs in enumerate(self.waiting):
            tenant = self.shape.entities[entity].tenant
            self.is_runnable[entity] = self.is_runnable[entity] and bool(jobs) and self.room_of(tenant) > 0
            if self.jobs.key is not None:
                present = {self.jobs.key[job] for job in jobs}
                for number, key in self.keys.items():
                    if number // 2 == entity:
                        key[2] = number in present

    def begin(self, job: int, now: int) -> None:
        entity = self.jobs.entity[job]
        end = now + self.jobs.cost_us[job]
        self.spans.append((job, now, end))
        self.running.append((end, job))
        self.waiting[entity].remove(job)
        self.in_flight[entity] += 1
        if self.jobs.key is not None:
            self.keys[self.jobs.key[job]][1] += 1

    def read_queue(self, number: int) -> QueueShare:
        shape, (vruntime, virtual_time, was_backlogged) = self.shape.queues[number], self.queues[number]
        places = [place for place, row in enumerate(self.shape.entities) if row.queue == number]
        in_flight = sum(self.in_flight[place] for place in places)
        return QueueShare(
            queue_id=number,
            weight_milli=shape.weight_milli,
            vruntime=vruntime,
            virtual_time=virtual_time,
            was_backlogged=was_backlogged,
            room=PLENTY if shape.cap == inf else int(shape.cap) - in_flight,
            is_fifo=shape.is_fifo,
            tenants=[self.read_tenant(place) for place in places if self.is_runnable[place]],
            in_flight=in_flight,
        )

    def read_tenant(self, entity: int) -> TenantShare:
        jobs = self.waiting[entity]
        keys: list[KeyShare] = []
        if self.jobs.key is not None:
            for number in sorted({self.jobs.key[job] for job in jobs}):
                first = next(job for job in jobs if self.jobs.key[job] == number)
                vruntime, in_flight, _ = self.keys[number]
                keys.append(KeyShare(FIRST_KEY_ID + number, vruntime, in_flight, first, len(jobs), 1))
        return TenantShare(
            entity_id=entity,
            tenant_id=UUID(int=self.shape.entities[entity].tenant),
            weight_milli=self.shape.entities[entity].weight_milli,
            vruntime=self.vruntimes[entity],
            in_flight=self.in_flight[entity],
            head_rank=jobs[0],
            waiting=len(jobs),
            estimate_us=1,
            virtual_time=self.virtual_times[entity],
            keys=keys,
        )

    def read_rows(self) -> dict[int, ReadRows]:
        rows: dict[int, list[ReadyJob]] = {}
        for entity, jobs in enumerate(self.waiting):
            for job in jobs:
                line = entity if self.jobs.key is None else FIRST_KEY_ID + self.jobs.key[job]
                rows.setdefault(line, []).append(ReadyJob(None, job, "", self.charges[job]))
        return {line: ReadRows(len(jobs) + 1, jobs) for line, jobs in rows.items()}
