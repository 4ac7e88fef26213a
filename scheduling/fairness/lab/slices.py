"""Time slices in a simulation, where the dispatcher's own code decides which jobs yield."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappush, nsmallest
from itertools import chain, islice
from typing import Any, cast
from uuid import UUID

from scheduling.fairness.lab.growing_tree import GrowingKeyNode
from scheduling.fairness.lab.slots import Simulation
from scheduling.fairness.lab.terms import Timeline
from scheduling.fairness.nodes import QueueNode, TenantNode
from scheduling.fairness.run_queue import ReadJobs
from scheduling.fairness.shares import KeyShare, PoolShare, QueueShare, ReadRows, ReadyJob, TenantShare
from scheduling.fairness.slices import Running, choose_yields

# The most jobs and tenants read to choose yields: with tiny slices on very many slots a replay would never end.
MOST_LOOKS = 200_000


class SlicedSimulation(Simulation):
    """A simulation with time slices; jobs that fit into a slice run as without slices.

    Of the other jobs, ``left`` is the remaining work, ``began`` the start of the current dispatch, and ``used_up``
    holds those whose slice is used up.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.left: dict[int, int] = {}
        self.began: dict[int, int] = {}
        self.charged: dict[int, int] = {}
        self.used_up: set[int] = set()
        self.looks = 0
        super().__init__(*args, **options)

    def run(self) -> Timeline:
        timeline = super().run()
        timeline.spans += [(job, began, began + self.left[job]) for job, began in self.began.items()]
        timeline.spans.sort(key=lambda span: (span[1], span[0]))
        return timeline

    def fill(self) -> None:
        super().fill()
        if self.used_up:
            self._slice()

    def _slice(self) -> None:
        """Have jobs yield whose slice is used and whose slot another job should have."""
        while self.used_up and not self.timeline.is_unsliced and self.tree.next_queue() is not None:
            asked = self._choose()
            self.timeline.is_unsliced = self.looks > MOST_LOOKS
            if not asked:
                return
            # Jobs check at their next safe point, which is assumed to be at once.
            for job in asked:
                self._yield(job)
            self.tree.fold()
            super().fill()

    def choose_charge(self) -> Callable[[ReadyJob], int]:
        charge_whole, granularity_us = super().choose_charge(), self.rules.granularity_us

        def charge(job: ReadyJob) -> int:
            """Return the believed rest of the job's cost, at most a slice."""
            cost_us = self.arrivals.cost_us[job.rank]
            if cost_us <= granularity_us:
                return min(charge_whole(job), granularity_us)
            left_us = self.left.get(job.rank, cost_us)
            self.charged[job.rank] = charged = min(max(1, charge_whole(job) - cost_us + left_us), granularity_us)
            return charged

        return charge

    def hold(self, job: int) -> None:
        if self.arrivals.cost_us[job] <= self.rules.granularity_us:
            super().hold(job)
            return
        left = self.left.setdefault(job, self.arrivals.cost_us[job])
        self.began[job] = began = self.now + self.rules.turnaround_us
        heappush(self.in_slots, (began + min(left, self.rules.granularity_us), job))

    def end(self, job: int) -> None:
        if job not in self.began:
            super().end(job)
            return
        left, began = self.left[job], self.began[job]
        if began + left > self.now:
            self.used_up.add(job)
            # It continues, or seems to: charge one more slice.
            self.charged[job] += self.rules.granularity_us
            heappush(self.in_slots, (began + min(left, max(self.rules.granularity_us, self.charged[job])), job))
            self.tree.charge_on(self.tenant_of[job], self.line_of[job], self.rules.granularity_us)
            return
        self._release(job)
        if self.predictor is not None:
            self.predictor.learn(job, self.arrivals.cost_us[job])

    def _yield(self, job: int) -> None:
        self.in_slots[:] = [slot for slot in self.in_slots if slot[1] != job]
        heapify(self.in_slots)
        self._release(job)
        self.tree.give_back(self.tenant_of[job], self.line_of[job], self.waiting_job(job))

    def _release(self, job: int) -> None:
        began = self.began.pop(job)
        used = self.now - began
        self.used_up.discard(job)
        self.left[job] -= used
        self.timeline.spans.append((job, began, self.now))
        charged_us = self.charged.get(job, used)
        self.tree.end(self.tenant_of[job], self.line_of[job], charged_us=charged_us, measured_us=used)

    def _choose(self) -> list[int]:
        """Return the jobs that the dispatcher would ask to yield now."""
        free = self.rules.slots - len(self.in_slots)
        turns = max(0, free) + len(self.used_up)
        first = {queue: _first(queue, turns) for queue in self.tree.queues}
        rows: dict[int, ReadRows] = {}
        pool = PoolShare(
            virtual_time=self.tree.virtual_time,
            room=0,
            queues=[
                _queue_share(queue, [_tenant_share(tenant, rows, turns) for tenant in tenants])
                for queue, tenants in first.items()
            ],
            tenant_room={
                tenant.capacity.tenant_id: tenant.capacity.room
                for tenant in chain(*first.values(), (self.tenant_of[job] for _, job in self.in_slots))
            },
        )
        running = [self._running(job, end_us) for end_us, job in self.in_slots]
        self.looks += len(running) + sum(len(tenants) for tenants in first.values())
        return [execution_id.int for execution_id in choose_yields(pool, ReadJobs(rows), running, free=free)]

    def _running(self, job: int, end_us: int) -> Running:
        tenant, line = self.tenant_of[job], self.line_of[job]
        began = self.began.get(job, end_us - self.arrivals.cost_us[job])
        return Running(
            owner=_tenant_share(tenant, {}, 0),
            line=_key_share(line),
            execution_id=UUID(int=job),
            queue_id=tenant.queue.queue_id,
            rank=job,
            weight_milli=tenant.weight_milli,
            queue_weight_milli=tenant.queue.weight_milli,
            charged_us=self.charged.get(job, self.charges[job]),
            elapsed_us=max(0, self.now - began),
            is_used=job in self.used_up,
            is_requested=False,
        )


def _first(queue: QueueNode, count: int) -> list[TenantNode]:
    """Return the tenants of the queue that the next ``count`` turns may belong to."""
    return [entry.node for entry in nsmallest(count, (entry for entry in queue.heap if entry.node.entry is entry))]


def _queue_share(queue: QueueNode, tenants: list[TenantShare]) -> QueueShare:
    return QueueShare(
        queue_id=queue.queue_id,
        weight_milli=queue.weight_milli,
        vruntime=queue.vruntime,
        virtual_time=queue.virtual_time,
        was_backlogged=queue.is_backlogged,
        room=queue.room,
        is_fifo=queue.is_fifo,
        tenants=tenants,
        in_flight=queue.in_flight,
    )


def _tenant_share(tenant: TenantNode, rows: dict[int, ReadRows], count: int) -> TenantShare:
    """Return the tenant; put the first ``count`` jobs of each of its lines into ``rows``."""
    lines = [cast("GrowingKeyNode", line) for line in tenant.lines.all]
    for line in lines if count else ():
        if line.head is not None:
            rows[line.entity_id] = ReadRows(count + 1, [line.head, *islice(line.behind, count)])
    own = lines[0].vruntime if len(lines) == 1 else 0
    keyed = [line for line in lines if line.entity_id != tenant.entity_id and line.head is not None]
    return TenantShare(
        entity_id=tenant.entity_id,
        tenant_id=tenant.capacity.tenant_id,
        weight_milli=tenant.weight_milli,
        vruntime=tenant.vruntime,
        in_flight=tenant.in_flight,
        head_rank=tenant.lines.least_rank() if tenant.lines.ready else 0,
        waiting=len(rows),
        estimate_us=0,
        own_vruntime=own,
        virtual_time=tenant.lines.virtual_time,
        keys=[_key_share(line) for line in keyed],
    )


def _key_share(line: GrowingKeyNode) -> KeyShare:
    waiting = len(line.behind) + (line.head is not None)
    return KeyShare(line.entity_id, line.vruntime, line.in_flight, line.rank, waiting, 0)
