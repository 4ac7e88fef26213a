"""Lag: how far a tenant with waiting jobs is behind or ahead of the ideal share of its queue.

An ideal server would give each such tenant its weight's part at every instant; all would then have one virtual time,
the mean of theirs weighted by their weights. What a tenant's virtual time lacks of this mean, times its weight, is the
tenant's lag (I. Stoica, H. Abdel-Wahab, "Earliest eligible virtual deadline first", 1995). The lags of a queue add up
to zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from scheduling.fairness.nodes import MILLI, UNITS_PER_MICROSECOND


@dataclass(frozen=True, slots=True)
class BackloggedTenant:
    """A tenant with waiting jobs in a queue: its weight and its virtual time."""

    tenant_id: UUID
    weight_milli: int
    vruntime: int


def lags_us(standings: Iterable[BackloggedTenant]) -> Mapping[UUID, int]:
    """Return the microseconds of slot time that each tenant of one queue is behind (positive) or ahead (negative)."""
    all_of_them = list(standings)
    weights = sum(standing.weight_milli for standing in all_of_them)
    served = sum(standing.weight_milli * standing.vruntime for standing in all_of_them)
    # Virtual times are 64-bit integers: the mean stays a fraction, because a float would lose microseconds.
    return {
        standing.tenant_id: standing.weight_milli
        * (served - standing.vruntime * weights)
        // (weights * UNITS_PER_MICROSECOND * MILLI)
        for standing in all_of_them
    }
