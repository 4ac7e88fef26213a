"""The platform's cost predictor for the jobs of a workload; it learns from each job that ends."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling.fairness.lab.terms import Arrivals
from scheduling.fairness.prediction import CostSums, Sample, cut_outlier, fold, predict

SECOND_US = 1_000_000


class WorkloadPredictor:
    """A predictor of costs for each tenant, and for tenants without ended jobs over all tenants, as a tick keeps it.

    The costs of entities in ``known`` are exact; of the others the first jobs are expected to take
    ``expected_seconds``.
    """

    def __init__(self, arrivals: Arrivals, known: Sequence[bool], expected_seconds: Sequence[float]) -> None:
        self._arrivals = arrivals
        self._known = known
        self._expected_us = [max(1, round(seconds * SECOND_US)) for seconds in expected_seconds]
        self._sums: list[CostSums | None] = [None] * len(known)
        self._all: CostSums | None = None
        self._samples = 0

    def predict(self, job: int) -> int:
        tenant = self._arrivals.entity[job]
        if self._known[tenant]:
            return self._arrivals.cost_us[job]
        return predict(self._sums[tenant], self._all, expected_us=self._expected_us[tenant], size=self._size(job))

    def learn(self, job: int, cost_us: int) -> None:
        tenant = self._arrivals.entity[job]
        if self._known[tenant]:
            return
        predicted_us = self.predict(job)
        cost = cut_outlier(cost_us, predicted_us, self._samples)
        sample = Sample(self._size(job), cost, predicted_us - cost_us)
        self._sums[tenant] = fold(self._sums[tenant], [sample])
        self._all = fold(self._all, [sample])
        self._samples += 1

    def _size(self, job: int) -> int:
        return 0 if self._arrivals.size is None else self._arrivals.size[job]


def predictor_for(
    arrivals: Arrivals, known: Sequence[bool], expected_seconds: Sequence[float]
) -> WorkloadPredictor | None:
    """Return a new predictor for entities by number; None if every cost is known exactly."""
    return None if all(known) else WorkloadPredictor(arrivals, known, expected_seconds)
