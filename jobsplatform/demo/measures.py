"""Computed results of a run: waits, shares while all tenants had a backlog, and the waits under FIFO.

All functions are pure. Times are microseconds since the first arrival of the run.
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
    """One job with its times of arrival, start and end.

    `cost_us` is the measured slot time of its executions. `held_us` is the time from dispatch to end, for which it
    occupied a slot; this includes the transport of the message.
    """

    tenant_id: UUID
    arrived_us: int
    started_us: int
    ended_us: int
    cost_us: int
    held_us: int


@dataclass(frozen=True, slots=True)
class ShareTerms:
    """What decides a tenant's share of the pool: its weight and its cap."""

    weight: float
    cap: int


@dataclass(frozen=True, slots=True)
class WaitPercentiles:
    """Median and 95th percentile of the time from submission to start, in microseconds."""

    p50_us: int
    p95_us: int


@dataclass(frozen=True, slots=True)
class Window:
    """Time span in which every tenant had waiting jobs."""

    from_us: int
    to_us: int

    @property
    def seconds(self) -> float:
        return (self.to_us - self.from_us) / 1e6


@dataclass(frozen=True, slots=True)
class MeasuredShare:
    """Fraction of the pool's time that a tenant received, and fraction that it was entitled to."""

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
    """Return the percentiles of the real waits of each tenant."""
    return _percentiles((run.tenant_id, run.started_us - run.arrived_us) for run in runs)


def fifo_waits_by_tenant(runs: Sequence[Run], *, slots: int) -> dict[UUID, WaitPercentiles]:
    """Return the percentiles of the waits that each tenant would have had if one FIFO queue had served the same jobs.

    Each job occupies its slot for as long as it really did, so the simulated machine is not faster than the real one.
    """
    ordered = sorted(runs, key=lambda run: run.arrived_us)
    arrivals = [Arrival(run.tenant_id, run.arrived_us, max(run.held_us, 1)) for run in ordered]
    tenants = {run.tenant_id: SimulatedTenant(weight_milli=1_000, cap=slots) for run in ordered}
    starts = simulate(arrivals, tenants, slots=slots, policy=OrderPolicy.FIFO)
    return _percentiles((start.tenant_id, start.wait_us) for start in starts)


def backlogged_window(runs: Sequence[Run]) -> Window | None:
    """Return the time in which every tenant had waiting jobs; None if it contains too few starts.

    It begins when the last tenant submits its first job, and ends with the last start of the tenant that ends first.
    """
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
    """Return for each tenant the fraction of the pool's time that it received and was entitled to within the window."""
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
