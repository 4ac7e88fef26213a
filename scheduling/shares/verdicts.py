"""Verdicts on tenants' shares: the stop that keeps a tenant from slots, else its use compared with its entitlement.

Use is compared only while the tenant was backlogged, with the entitlement of that time: a tenant without waiting jobs
used little because it wanted little.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

BELOW, ABOVE = 0.8, 1.2
SECOND_US = 1_000_000.0
# Before a tenant was backlogged for so long, its use is chance.
LEAST_EXPOSURE_US = 60 * SECOND_US
# A sample of entitlements stands for the time since the one before, in which the tenant's backlog may have begun.
SAMPLE_US = 10 * SECOND_US
# Running jobs keep their slots from a tenant that has just come, for at most so long that it counts as fair.
LONGEST_JOB_US = 30 * SECOND_US


class EntitlementState(StrEnum):
    """Verdict on a tenant's share: what stops it, or how its use compares with its entitlement."""

    BELOW = "below"
    FAIR = "fair"
    ABOVE = "above"
    IDLE = "idle"
    UNKNOWN = "unknown"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    DRAINING = "draining"
    OUT_OF_WORKER_TIME = "out_of_worker_time"
    AT_CAP = "at_cap"


@dataclass(frozen=True, slots=True)
class ComparedBin:
    """Slot time that a tenant used and was entitled to in a time of ``length_us``, and how long it was backlogged."""

    length_us: float
    backlogged_us: float
    used_us: float
    entitled_us: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Slot time that a tenant used while it was backlogged, and its entitlement of that time, in microseconds.

    ``exposure_us`` is how long it was backlogged, ``slack_us`` the difference that has no meaning.
    """

    exposure_us: float = 0.0
    used_us: float = 0.0
    entitled_us: float = 0.0
    slack_us: float = 0.0

    @property
    def ratio(self) -> float | None:
        """Return used over entitled; 1.0 is exactly fair. Return None if the tenant was not backlogged for long."""
        is_known = self.exposure_us >= LEAST_EXPOSURE_US and self.entitled_us > 0
        return self.used_us / self.entitled_us if is_known else None

    @property
    def verdict(self) -> EntitlementState:
        if self.ratio is None:
            return EntitlementState.UNKNOWN if self.exposure_us else EntitlementState.IDLE
        if BELOW <= self.ratio <= ABOVE or abs(self.used_us - self.entitled_us) <= self.slack_us:
            return EntitlementState.FAIR
        return EntitlementState.BELOW if self.ratio < BELOW else EntitlementState.ABOVE


def compare(bins: Iterable[ComparedBin], *, longest_job_us: float) -> Comparison:
    """Compare use with entitlement; each bin counts by the part of it in which the tenant was backlogged.

    A new entitlement, for example of another weight, takes effect as jobs end: in a bin whose entitlement differs from
    that of the bin before, a use between the two is what the tenant was entitled to. ``longest_job_us`` is the
    predicted slot time of the longest job that competes for the slots.
    """
    exposure_us = used_us = entitled_us = most = 0.0
    before: float | None = None
    for row in bins:
        part = min(1.0, row.backlogged_us / row.length_us) if row.length_us else 0.0
        if not part:
            before = None
            continue
        slots, used = row.entitled_us / row.length_us, row.used_us / row.length_us
        full = slots / part
        low, high = sorted((full, full if before is None else before))
        exposure_us += row.backlogged_us
        used_us += part * row.used_us
        entitled_us += part * row.length_us * min(max(used, low * part), high * part)
        before, most = full, max(most, full)
    slack_us = SAMPLE_US * most + min(longest_job_us, LONGEST_JOB_US) * max(1.0, most)
    return Comparison(exposure_us, used_us, entitled_us, slack_us)
