"""Histograms of durations with fixed buckets, so that histograms can be added and percentiles computed from the sum."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

# In seconds; a bucket reaches from one bound to below the next, the last one is unbounded.
BOUNDS: tuple[float, ...] = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    900.0,
    3_600.0,
    14_400.0,
    86_400.0,
)
BUCKETS = len(BOUNDS) + 1


def percentile(counts: Sequence[int], part: float) -> float | None:
    """Return the duration in seconds that ``part`` of all durations (0 to 1) do not exceed.

    The value is interpolated inside its bucket. Return None for an empty histogram, and the lower bound of the last
    bucket for values in that bucket, which has no upper bound.
    """
    total = sum(counts)
    if not total:
        return None
    wanted = part * total
    for bucket, reached in enumerate(accumulate(counts)):
        if reached >= wanted and counts[bucket]:
            if bucket >= len(BOUNDS):
                break
            low = BOUNDS[bucket - 1] if bucket else 0.0
            inside = (wanted - (reached - counts[bucket])) / counts[bucket]
            return low + (BOUNDS[bucket] - low) * max(0.0, inside)
    return BOUNDS[-1]
