"""Arrivals replayed on simulated slots, in arrival order or in the dispatcher's fair order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush
from uuid import UUID

from scheduling.fairness.run_queue import ReadSupply, pick_fair
from scheduling.fairness.shares import PoolShare, QueueShare, ReadRows, ReadyJob, TenantShare
from scheduling.fairness.virtual_time import corrected, rejoined

ONE_QUEUE = 1


class Policy(StrEnum):
    """Order in which waiting jobs get a free slot."""

    FIFO = "fifo"
    CFS = "cfs"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job that arrives ``at_us`` microseconds in and holds its slot for ``cost_us``."""

    tenant_id: UUID
    at_us: int
    cost_us: int


@dataclass(frozen=True, slots=True)
class SimulatedTenant:
    """Weight and cap of a tenant, and the cost predicted for its jobs (None: known exactly)."""

    weight_milli: int
    cap: int
    predicted_us: int | None = None


@dataclass(frozen=True, slots=True)
class SimulatedStart:
    """When an arrival began; ``index`` points into the arrivals."""

    index: int
    tenant_id: UUID
    wait_us: int
    start_us: int
    end_us: int


class _Simulation:
    """One queue on ``slots`` slots; the mutable state of a run."""

    def __init__(self, arrivals: Sequence[Arrival], tenants: Mapping[UUID, SimulatedTenant]) -> None:
        self.arrivals = arrivals
        self.tenants = tenants
        self.ids = list(tenants)
        self.backlog: dict[UUID, deque[int]] = {tenant_id: deque() for tenant_id in tenants}
        self.vruntimes = dict.fromkeys(tenants, 0)
        self.in_flight = dict.fromkeys(tenants, 0)
        self.virtual_time = 0

    def arrive(self, index: int) -> None:
        tenant_id = self.arrivals[index].tenant_id
        if not self.backlog[tenant_id]:
            self.vruntimes[tenant_id] = rejoined(self.vruntimes[tenant_id], self.virtual_time)
        self.backlog[tenant_id].append(index)

    def end(self, index: int) -> None:
        arrival = self.arrivals[index]
        tenant = self.tenants[arrival.tenant_id]
        self.in_flight[arrival.tenant_id] -= 1
        if tenant.predicted_us is not None:
            self.vruntimes[arrival.tenant_id] = corrected(
                self.vruntimes[arrival.tenant_id],
                predicted_us=tenant.predicted_us,
                measured_us=arrival.cost_us,
                weight_milli=tenant.weight_milli,
            )

    def pick(self, policy: Policy) -> int | None:
        """Index of the arrival that gets the next free slot; None if nobody may start."""
        shares, rows = [], {}
        for entity_id, tenant_id in enumerate(self.ids):
            backlog, tenant = self.backlog[tenant_id], self.tenants[tenant_id]
            if not backlog:
                continue
            head = backlog[0]
            cost_us = tenant.predicted_us or self.arrivals[head].cost_us
            shares.append(
                TenantShare(
                    entity_id=entity_id,
                    tenant_id=tenant_id,
                    weight_milli=tenant.weight_milli,
                    vruntime=self.vruntimes[tenant_id],
                    in_flight=self.in_flight[tenant_id],
                    head_rank=head,
                    waiting=len(backlog),
                    estimate_us=cost_us,
                )
            )
            rows[entity_id] = ReadRows(asked=2, jobs=[ReadyJob(None, head, "", cost_us)])
        queue = QueueShare(
            queue_id=ONE_QUEUE,
            weight_milli=1_000,
            vruntime=0,
            virtual_time=self.virtual_time,
            was_backlogged=True,
            room=1,
            is_fifo=policy is Policy.FIFO,
            tenants=shares,
        )
        room = {key: tenant.cap - self.in_flight[key] for key, tenant in self.tenants.items()}
        result = pick_fair(PoolShare(0, 1, [queue], room), ReadSupply(rows))
        if not result.picks:
            return None
        picked = result.picks[0]
        self.virtual_time = result.queues[ONE_QUEUE].virtual_time
        self.vruntimes[picked.tenant_id] = result.vruntimes[picked.entity_id]
        self.in_flight[picked.tenant_id] += 1
        return self.backlog[picked.tenant_id].popleft()


def simulate(
    arrivals: Sequence[Arrival],
    tenants: Mapping[UUID, SimulatedTenant],
    *,
    slots: int,
    policy: Policy,
) -> list[SimulatedStart]:
    """Replay ``arrivals`` on ``slots`` slots; the starts in order, with what each waited."""
    run = _Simulation(arrivals, tenants)
    order = deque(sorted(range(len(arrivals)), key=lambda index: (arrivals[index].at_us, index)))
    running: list[tuple[int, int]] = []
    starts: list[SimulatedStart] = []
    now = 0
    while order or running:
        now = min(
            arrivals[order[0]].at_us if order else running[0][0],
            running[0][0] if running else arrivals[order[0]].at_us,
        )
        while running and running[0][0] <= now:
            run.end(heappop(running)[1])
        while order and arrivals[order[0]].at_us <= now:
            run.arrive(order.popleft())
        while len(running) < slots and (index := run.pick(policy)) is not None:
            arrival = arrivals[index]
            end_us = now + arrival.cost_us
            starts.append(SimulatedStart(index, arrival.tenant_id, now - arrival.at_us, now, end_us))
            heappush(running, (end_us, index))
    return starts
