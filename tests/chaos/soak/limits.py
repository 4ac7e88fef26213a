"""Limits of growth, and the series that exceed them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.soak.growth import Growth, Point, growth_of


@dataclass(frozen=True, slots=True)
class Limit:
    """Greatest slope of a measure, in its unit a minute."""

    measure: str
    unit: str
    per_minute: float
    digits: int = 1


# They detect a leak that matters in a week: 0.5 MiB a minute are 5 GiB.
LIMITS = (
    Limit("memory", "MiB", 0.5),
    Limit("descriptors", "descriptors", 0.2, 0),
    Limit("connections", "connections", 0.2, 0),
    Limit("broker's memory", "MiB", 0.2, 2),
    Limit("broker's clients", "clients", 0.5, 0),
    Limit("table and indexes", "MiB", 0.2, 2),
    Limit("dead rows", "rows", 500.0, 0),
)


@dataclass(frozen=True, slots=True)
class Line:
    """Series with its growth."""

    limit: Limit
    name: str
    growth: Growth

    @property
    def is_met(self) -> bool:
        return self.growth.is_within(self.limit.per_minute)

    def cells(self) -> Sequence[str]:
        digits = self.limit.digits
        slope = self.growth.per_minute
        return (
            self.limit.measure,
            self.name,
            f"{self.growth.least:.{digits}f}–{self.growth.greatest:.{digits}f} {self.limit.unit}",
            "too little was seen" if slope is None else f"{slope:+.2f}",
            f"{self.limit.per_minute:g}",
            "met" if self.is_met else "**grows**",
        )


def judge(by_measure: Mapping[str, Mapping[str, Sequence[Point]]], *, since: float) -> Iterator[Line]:
    """Yield the growth of every series after ``since``, measure by measure."""
    for limit in LIMITS:
        for name, points in sorted(by_measure.get(limit.measure, {}).items()):
            growth = growth_of(points, since=since)
            if growth is not None:
                yield Line(limit, name, growth)
