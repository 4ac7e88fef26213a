"""Whether something grows: the slope of a series that neither a spike nor a restart can bend. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

# What a process does first, imports, caches, connections, is no leak.
WARM_UP_SECONDS = 90.0
# Two looks that are closer than this tell more of noise than of growth.
LEAST_GAP_SECONDS = 20.0
# Fewer pairs than these say nothing.
LEAST_PAIRS = 20


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a time of the run. ``life`` is the process that it belongs to, ``age`` how old that was."""

    at: float
    value: float
    life: str = ""
    age: float = WARM_UP_SECONDS


@dataclass(frozen=True, slots=True)
class Growth:
    """What a series did in the part of the run that counts; a slope of None: too little was seen of it."""

    least: float
    greatest: float
    per_minute: float | None

    def is_within(self, limit_per_minute: float) -> bool:
        """What was not seen for long enough cannot have grown for long."""
        return self.per_minute is None or self.per_minute <= limit_per_minute


def growth_of(points: Sequence[Point], *, since: float) -> Growth | None:
    """The Theil–Sen slope after ``since``: the median over all pairs of looks at the same life, past its warm-up.

    Lives are not compared with one another: a process that was restarted is small again, which hides a leak, and
    after it each grows into its caches, which looks like one.
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
