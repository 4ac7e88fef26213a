"""Growth of a series: a slope that is robust against spikes and restarts. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

# First activities of a process, such as imports, caches and connections, are no leaks.
WARM_UP_SECONDS = 90.0
# Two closer samples show more noise than growth.
LEAST_GAP_SECONDS = 20.0
# Fewer pairs are inconclusive.
LEAST_PAIRS = 20


@dataclass(frozen=True, slots=True)
class Point:
    """Value at a time of the run. ``life`` is its process, ``age`` the age of that process."""

    at: float
    value: float
    life: str = ""
    age: float = WARM_UP_SECONDS


@dataclass(frozen=True, slots=True)
class Growth:
    """Result of a series in the counted part of the run; a slope of None: too few samples."""

    least: float
    greatest: float
    per_minute: float | None

    def is_within(self, limit_per_minute: float) -> bool:
        """Return whether the slope is at most the limit; a series with too few samples cannot have grown for long."""
        return self.per_minute is None or self.per_minute <= limit_per_minute


def growth_of(points: Sequence[Point], *, since: float) -> Growth | None:
    """Return the Theil–Sen slope after ``since``: the median over all pairs of samples of one life, past its warm-up.

    Lives are not compared with each other: a restarted process is small again, which hides a leak, and then each grows
    into its caches, which looks like one.
    """
    counted = [point for point in points if point.at >= since and point.age >= WARM_UP_SECONDS]
    if not counted:
        return None
    values = [point.value for point in counted]
    slopes = [slope for life in _by_life(counted).values() for slope in _slopes(life)]
    per_minute = 60 * median(slopes) if len(slopes) >= LEAST_PAIRS else None
    return Growth(min(values), max(values), per_minute)


def _by_life(points: Iterable[Point]) -> Mapping[str, Sequence[Point]]:
    lives: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        lives[point.life].append(point)
    return lives


def _slopes(points: Sequence[Point]) -> list[float]:
    return [
        (later.value - earlier.value) / (later.at - earlier.at)
        for number, earlier in enumerate(points)
        for later in points[number + 1 :]
        if later.at - earlier.at >= LEAST_GAP_SECONDS
    ]
