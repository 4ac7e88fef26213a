"""Measures of a run: waits, shares while all tenants were backlogged, and the same arrivals under FIFO.

Pure: values in, values out. Times are microseconds since the run's first arrival.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements
from scheduling.fairness.lab import Arrival, OrderPolicy, SimulatedTenant, simulate

ONE_QUEUE = 1
# Fewer starts than this within the window are too few to compare shares of one seventh.
MINIMUM_STARTS = 14


@dataclass(frozen=True, slots=True)
class Run:
    """One job from its arrival to its end.

    `cost_us` is the measured slot time of its executions. `held_us` is the time from dispatch to end, for which it held
    a slot, transport of the message included.
    """

    tenant_id: UUID
    arrived_us: int
    started_us: int
    ended_us: int
    cost_us: int
    held_us: int


@dataclass(frozen=True, slots=True)
class ShareTerms:
    """A tenant's claim to the pool: its weight and its cap."""

    weight: float
    cap: int


@dataclass(frozen=True, slots=True)
class WaitPercentiles:
    """Percentiles of the time from submission to start, in microseconds."""

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
class MeasuredShare:
    """The fractions of the pool's time that a tenant received and was entitled to."""

    received: float
    entitled: float

    @property
    def ratio(self) -> float:
        return self.received / self.entitled if self.entitled else math.nan


def percentile[Number: (int, float)](values: Iterable[Number], part: float) -> Number:
    """Return the smallest value that at least `part` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def waits_by_tenant(runs: Sequence[Run]) -> dict[UUID, WaitPercentiles]:
    """Return the percentiles of the runs' actual waits."""
    return _percentiles((run.tenant_id, run.started_us - run.arrived_us) for run in runs)


def fifo_waits_by_tenant(runs: Sequence[Run], *, slots: int) -> dict[UUID, WaitPercentiles]:
    """Return the percentiles of waits if one FIFO queue had served the same arrivals.

    Each job holds its slot for as long as it really did, so that FIFO gets no better machine.
    """
    ordered = sorted(runs, key=lambda run: run.arrived_us)
    arrivals = [Arrival(run.tenant_id, run.arrived_us, max(run.held_us, 1)) for run in ordered]
    tenants = {run.tenant_id: SimulatedTenant(weight_milli=1_000, cap=slots) for run in ordered}
    starts = simulate(arrivals, tenants, slots=slots, policy=OrderPolicy.FIFO)
    return _percentiles((start.tenant_id, start.wait_us) for start in starts)


def backlogged_window(runs: Sequence[Run]) -> Window | None:
    """Return the time from the last tenant's first arrival to the first one's last start; None if it is too short."""
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
    window: Window, runs: Sequence[Run], claims: Mapping[UUID, ShareTerms], *, slots: int
) -> dict[UUID, MeasuredShare]:
    """Return each tenant's fraction of the pool's time within the window, and its entitlement."""
    received = dict.fromkeys(claims, 0)
    for run in runs:
        overlap = min(run.ended_us, window.to_us) - max(run.started_us, window.from_us)
        received[run.tenant_id] += max(0, overlap)
    demands = [TenantDemand(tenant_id, claim.weight, claim.cap) for tenant_id, claim in claims.items()]
    entitled = entitlements(slots, [QueueDemand(ONE_QUEUE, 1.0, math.inf, demands)])
    total, whole = sum(received.values()) or 1, sum(entitled.values()) or 1.0
    return {
        tenant_id: MeasuredShare(received[tenant_id] / total, entitled[ONE_QUEUE, tenant_id] / whole)
        for tenant_id in claims
    }


def _percentiles(waits: Iterable[tuple[UUID, int]]) -> dict[UUID, WaitPercentiles]:
    by_tenant: dict[UUID, list[int]] = {}
    for tenant_id, wait_us in waits:
        by_tenant.setdefault(tenant_id, []).append(wait_us)
    return {
        tenant_id: WaitPercentiles(percentile(values, 0.5), percentile(values, 0.95))
        for tenant_id, values in by_tenant.items()
    }
