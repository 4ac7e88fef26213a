"""Replays of arriving jobs on simulated slots, under one of several policies, with the dispatcher's own fair order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from scheduling.fairness.lab.slices import SlicedSimulation
from scheduling.fairness.lab.slots import Simulation
from scheduling.fairness.lab.terms import (
    Arrivals,
    EntityShape,
    OrderPolicy,
    Predictor,
    QueueShape,
    Rules,
    Timeline,
    TreeShape,
)


def replay(
    arrivals: Arrivals, shape: TreeShape, rules: Rules, *, predictor: Predictor | None = None, running: int = 0
) -> Timeline:
    """Simulate ``arrivals`` in the pool and return the timeline; the first ``running`` of them start in slots."""
    kind = SlicedSimulation if rules.policy is OrderPolicy.TIME_SLICE else Simulation
    return kind(arrivals, shape, rules, predictor=predictor, running=running).run()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job that arrives at ``at_us`` microseconds and uses its slot for ``cost_us`` microseconds."""

    tenant_id: UUID
    at_us: int
    cost_us: int


@dataclass(frozen=True, slots=True)
class SimulatedTenant:
    """The weight and cap of a tenant, and the predicted cost of its jobs (None: known exactly)."""

    weight_milli: int
    cap: int
    predicted_us: int | None = None


@dataclass(frozen=True, slots=True)
class SimulatedStart:
    """The start of a simulated job; ``index`` is its place among the arrivals."""

    index: int
    tenant_id: UUID
    wait_us: int
    start_us: int
    end_us: int


def simulate(
    arrivals: Sequence[Arrival],
    tenants: Mapping[UUID, SimulatedTenant],
    *,
    slots: int,
    policy: OrderPolicy,
) -> list[SimulatedStart]:
    """Simulate jobs of tenants in one queue; return the starts in order, each with its wait."""
    numbers = {tenant_id: number for number, tenant_id in enumerate(tenants)}
    order = sorted(range(len(arrivals)), key=lambda index: (arrivals[index].at_us, index))
    columns = Arrivals(
        at_us=[arrivals[index].at_us for index in order],
        entity=[numbers[arrivals[index].tenant_id] for index in order],
        cost_us=[arrivals[index].cost_us for index in order],
        predicted_us=[tenants[arrivals[index].tenant_id].predicted_us or arrivals[index].cost_us for index in order],
    )
    shape = TreeShape(
        queues=[QueueShape()],
        caps=[tenant.cap for tenant in tenants.values()],
        entities=[EntityShape(0, number, tenant.weight_milli) for number, tenant in enumerate(tenants.values())],
    )
    timeline = replay(columns, shape, Rules(slots=slots, policy=policy))
    return [
        SimulatedStart(order[job], arrivals[order[job]].tenant_id, start - columns.at_us[job], start, end)
        for job, start, end in timeline.spans
    ]
