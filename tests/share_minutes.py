"""A pool in simulated time that keeps the share minutes of its tenants, by the fair order or by one that is unfair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements

SECOND_US = 1_000_000
SAMPLE_SECONDS = 10


@dataclass
class Line:
    """A tenant's jobs in the pool; each takes ``seconds``."""

    name: str
    weight: float = 1.0
    seconds: int = 5
    waiting: int = 0
    vruntime: float = 0.0
    is_paused: bool = False
    running: list[int] = field(default_factory=list)

    @property
    def is_runnable(self) -> bool:
        return self.waiting > 0 and not self.is_paused


def fair_order(line: Line) -> float:
    """Order tenants by their virtual times."""
    return line.vruntime


def by_name(line: Line) -> str:
    """Order tenants by their names, an unfair order."""
    return line.name


@dataclass
class SimulatedPool:
    """A pool whose slots the tenants share; ``at`` is the second, counted from the start of a minute."""

    slots: int
    order: Callable[[Line], Any] = fair_order
    at: int = 0
    lines: dict[str, Line] = field(default_factory=dict)
    sampled_at: int = 0
    # By tenant and minute, in microseconds.
    used: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    entitled: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    backlogged: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def submit(self, name: str, jobs: int, *, seconds: int) -> None:
        """Add waiting jobs of a tenant."""
        line = self.lines.setdefault(name, Line(name, seconds=seconds))
        self._awaken(line)
        line.waiting += jobs

    def resume(self, name: str) -> None:
        """End a tenant's pause."""
        self._awaken(self.lines[name])
        self.lines[name].is_paused = False

    def step(self) -> None:
        """Let a second pass."""
        for line in self.lines.values():
            line.running = [left - 1 for left in line.running if left > 1]
        while sum(len(line.running) for line in self.lines.values()) < self.slots:
            runnable = [line for line in self.lines.values() if line.is_runnable]
            if not runnable:
                break
            chosen = min(runnable, key=self.order)
            chosen.waiting -= 1
            chosen.running.append(chosen.seconds)
            chosen.vruntime += chosen.seconds / chosen.weight
        for line in self.lines.values():
            self.used[line.name, self.at // 60] += len(line.running) * SECOND_US
        self.at += 1
        if self.at % SAMPLE_SECONDS == 0:
            self._sample()

    def _awaken(self, line: Line) -> None:
        active = [other.vruntime for other in self.lines.values() if other.is_runnable or other.running]
        if not line.is_runnable:
            line.vruntime = max(line.vruntime, min(active, default=0.0))

    def _sample(self) -> None:
        demands = [
            TenantDemand(line.name, line.weight, inf, len(line.running) + (line.waiting if line.is_runnable else 0))
            for line in self.lines.values()
            if line.is_runnable or line.running
        ]
        for (_, name), slots in entitlements(self.slots, [QueueDemand(1, 1.0, inf, demands)]).items():
            for second in range(self.sampled_at, self.at):
                self.entitled[name, second // 60] += round(slots * SECOND_US)
                self.backlogged[name, second // 60] += SECOND_US * self.lines[name].is_runnable
        self.sampled_at = self.at
