"""What the run's own records say: waits, shares while everybody was backlogged, and the same day under FIFO.

Pure: values in, values out. Times are microseconds since the run's first arrival.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements
from scheduling.fairness.lab import Arrival, Policy, SimulatedTenant, simulate

ONE_QUEUE = 1
# Fewer starts than this within the window say nothing about shares of one seventh.
MINIMUM_STARTS = 14


@dataclass(frozen=True, slots=True)
class Run:
    """One job from its arrival to its end.

    `cost_us` is the slot time that its executions measured, `held_us` the time from dispatch to end: how long a
    slot was kept for it, the message's way included.
    """

    tenant_id: UUID
    arrived_us: int
    started_us: int
    ended_us: int
    cost_us: int
    held_us: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What a tenant may claim of the pool: its weight and its cap."""

    weight: float
    cap: int


@dataclass(frozen=True, slots=True)
class Waits:
    """Submit to start, microseconds."""

    p50_us: int
    p95_us: int


@dataclass(frozen=True, slots=True)
class Window:
    """The time in which every tenant had jobs waiting."""

    from_us: int
    to_us: int

    @property
    def seconds(self) -> float:
        return (self.to_us - self.from_us) / 1e6


@dataclass(frozen=True, slots=True)
class Share:
    """Parts of 1: what a tenant got of the pool's time, and what its weight entitles it to."""

    received: float
    entitled: float

    @property
    def ratio(self) -> float:
        return self.received / self.entitled if self.entitled else math.nan


def percentile[Number: (int, float)](values: Iterable[Number], part: float) -> Number:
    """The smallest value that at least `part` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def waits_by_tenant(runs: Sequence[Run]) -> dict[UUID, Waits]:
    """Waits of the runs as they happened."""
    return _percentiles((run.tenant_id, run.started_us - run.arrived_us) for run in runs)


def fifo_waits_by_tenant(runs: Sequence[Run], *, slots: int) -> dict[UUID, Waits]:
    """Waits of the same arrivals, had one line in order of arrival served them.

    Each keeps its slot for as long as it really did, so that the comparison gives FIFO no better machine.
    """
    ordered = sorted(runs, key=lambda run: run.arrived_us)
    arrivals = [Arrival(run.tenant_id, run.arrived_us, max(run.held_us, 1)) for run in ordered]
    tenants = {run.tenant_id: SimulatedTenant(weight_milli=1_000, cap=slots) for run in ordered}
    starts = simulate(arrivals, tenants, slots=slots, policy=Policy.FIFO)
    return _percentiles((start.tenant_id, start.wait_us) for start in starts)


def backlogged_window(runs: Sequence[Run]) -> Window | None:
    """From the last tenant's first arrival to the first tenant's last start; None when they never overlapped."""
    first: dict[UUID, int] = {}
    last: dict[UUID, int] = {}
    for run in runs:
        first[run.tenant_id] = min(run.arrived_us, first.get(run.tenant_id, run.arrived_us))
        last[run.tenant_id] = max(run.started_us, last.get(run.tenant_id, run.started_us))
    if not runs:
        return None
    window = Window(max(first.values()), min(last.values()))
    starts = sum(window.from_us <= run.started_us < window.to_us for run in runs)
    return window if starts >= MINIMUM_STARTS else None


def shares_within(
    window: Window, runs: Sequence[Run], claims: Mapping[UUID, Claim], *, slots: int
) -> dict[UUID, Share]:
    """Each tenant's part of the pool's time within the window against its entitlement."""
    received = dict.fromkeys(claims, 0)
    for run in runs:
        overlap = min(run.ended_us, window.to_us) - max(run.started_us, window.from_us)
        received[run.tenant_id] += max(0, overlap)
    demands = [TenantDemand(tenant_id, claim.weight, claim.cap) for tenant_id, claim in claims.items()]
    entitled = entitlements(slots, [QueueDemand(ONE_QUEUE, 1.0, math.inf, demands)])
    total, whole = sum(received.values()) or 1, sum(entitled.values()) or 1.0
    return {
        tenant_id: Share(received[tenant_id] / total, entitled[ONE_QUEUE, tenant_id] / whole) for tenant_id in claims
    }


def _percentiles(waits: Iterable[tuple[UUID, int]]) -> dict[UUID, Waits]:
    by_tenant: dict[UUID, list[int]] = {}
    for tenant_id, wait_us in waits:
        by_tenant.setdefault(tenant_id, []).append(wait_us)
    return {
        tenant_id: Waits(percentile(values, 0.5), percentile(values, 0.95)) for tenant_id, values in by_tenant.items()
    }
