"""What the platform's predictor would believe of a workload's jobs, learning as they end."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling.fairness.simulation import Arrivals

# So many samples weigh as much as all that came before them.
MEMORY = 50
# What is believed of a kind that nobody has seen.
EXPECTED_US = 1_000_000


class _RunningMean:
    __slots__ = ("mean_us", "samples")

    def __init__(self) -> None:
        self.mean_us = 0.0
        self.samples = 0

    def add(self, cost_us: int) -> None:
        self.mean_us += (cost_us - self.mean_us) / (min(self.samples, MEMORY) + 1)
        self.samples += 1


class WorkloadPredictor:
    """The tenant's mean, else everybody's, else a second. Of tenants in ``known`` it knows what jobs cost."""

    def __init__(self, arrivals: Arrivals, known: Sequence[bool]) -> None:
        self._entity = arrivals.entity
        self._cost_us = arrivals.cost_us
        self._known = known
        self._means = [_RunningMean() for _ in known]
        self._all = _RunningMean()

    def predict(self, job: int) -> int:
        tenant = self._entity[job]
        if self._known[tenant]:
            return self._cost_us[job]
        mean = self._means[tenant]
        if mean.samples == 0:
            mean = self._all
        return max(1, round(mean.mean_us)) if mean.samples else EXPECTED_US

    def learn(self, job: int, cost_us: int) -> None:
        self._means[self._entity[job]].add(cost_us)
        self._all.add(cost_us)


def predictor_for(arrivals: Arrivals, known: Sequence[bool]) -> WorkloadPredictor | None:
    """None where the scheduler knows what every job costs."""
    return None if all(known) else WorkloadPredictor(arrivals, known)
