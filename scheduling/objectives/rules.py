"""Pure rules of objectives: late jobs, the error budget, and how fast it is spent."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

# Fewer jobs give no reliable share.
LEAST_JOBS = 50


class Excuse(StrEnum):
    """Why a late job does not count, by precedence: the first that held while it waited."""

    PAUSE = "pause"
    CAP = "cap"
    QUOTA = "quota"
    MAINTENANCE = "maintenance"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Counts:
    """Jobs that started in time, late ones that count, and late ones that are excused, by reason."""

    good: int = 0
    late: int = 0
    excused: dict[str, int] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        return self.good + self.late

    @property
    def share(self) -> float | None:
        """Return the share of jobs that started in time; None without a job."""
        return self.good / self.counted if self.counted else None

    def burn(self, target: float) -> float:
        """Return how many times faster than allowed late jobs occur; 1 spends the budget exactly in its window."""
        return self.late / self.counted / (1 - target) if self.counted >= LEAST_JOBS else 0.0

    def budget_left(self, target: float) -> float:
        """Return the part of the error budget that is left: 1 is all of it, below 0 it is overspent."""
        return 1 - self.late / (self.counted * (1 - target)) if self.counted else 1.0


def steady_burn(long: Counts, short: Counts, target: float) -> float:
    """Return the burn rate of a long time if the short one before now confirms it, so that an end is noticed soon."""
    return min(long.burn(target), short.late / short.counted / (1 - target) if short.counted else 0.0)
