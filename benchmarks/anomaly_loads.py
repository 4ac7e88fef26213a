"""Synthetic loads of series for the benchmark of anomalies: patterns of day and week, noise, bursts and batches."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from scheduling.anomalies.detector import Counts, Measure
from scheduling.statistics.histogram import BOUNDS, BUCKETS

# Counts are made by the half minute, in which a dispatcher looks once.
STEPS_A_DAY = 2_880
_EDGES = np.log(np.array(BOUNDS))


@dataclass(frozen=True, slots=True)
class Change:
    """A planted change of a series: from a step on, a measure is multiplied, or the failed part replaced."""

    measure: Measure
    step: int
    steps: int
    factor: float


class Series:
    """Counts of one series by the half minute: rates are log-normal around a pattern, with bursts."""

    def __init__(self, seed: int, days: int, change: Change | None = None) -> None:
        self._rng = np.random.default_rng(seed)
        self.mean = float(np.exp(self._rng.uniform(log(8), log(600))))
        self.has_bursts = bool(self._rng.random() < 0.3)
        self.has_batch = bool(self._rng.random() < 0.15)
        self.has_peaks = self.has_bursts or self.has_batch
        steps = days * STEPS_A_DAY
        rate = self._rates(steps)
        pressure = rate / self.mean
        wait = log(self._rng.uniform(0.1, 2.0)) + 0.7 * np.log(pressure) + self._wander(steps, 0.15, 20)
        run = log(self._rng.uniform(0.05, 20.0)) + self._wander(steps, 0.05, 120)
        failing = np.clip(np.exp(log(self._rng.uniform(0.002, 0.05)) + self._wander(steps, 0.3, 60)), 0, 0.5)
        run_spread = self._rng.uniform(0.3, 1.0)
        if change is not None:
            during = slice(change.step, change.step + change.steps)
            if change.measure == Measure.RATE:
                rate[during] *= change.factor
            elif change.measure == Measure.FAILURES:
                failing[during] = change.factor
            elif change.measure != Measure.RESULT:
                (wait if change.measure == Measure.WAIT else run)[during] += log(change.factor)
        self.ended = self._rng.poisson(rate / 2)
        self.failed = self._rng.binomial(self.ended, failing)
        self.wait = self._histograms(wait, 0.8)
        self.run = self._histograms(run, run_spread)
        size = log(self._rng.uniform(50, 20_000)) + self._wander(steps, 0.1, 60)
        if change is not None and change.measure == Measure.RESULT:
            size[during] += log(change.factor)
        # The sum of sizes that vary by their mean is a gamma variable.
        self.result_bytes = self._rng.gamma(self.ended - self.failed, np.exp(size)).astype(np.int64)

    def minutes(self, first: int, last: int) -> list[Counts]:
        """Return the counts of whole minutes from a step on to before another."""

        def pairs(values: Any) -> Any:
            return values[first:last].reshape((last - first) // 2, 2, *values.shape[1:]).sum(axis=1).tolist()

        counts = (self.ended, self.failed, self.wait, self.run, self.result_bytes)
        return [Counts(*row) for row in zip(*map(pairs, counts), strict=True)]

    def half(self, step: int) -> Counts:
        """Return the counts of one step."""
        ended, failed, size = (int(values[step]) for values in (self.ended, self.failed, self.result_bytes))
        return Counts(ended, failed, self.wait[step].tolist(), self.run[step].tolist(), size)

    def _rates(self, steps: int) -> Any:
        at = np.arange(steps)
        day, hour = at // STEPS_A_DAY, at % STEPS_A_DAY / 120
        pattern = self._rng.uniform(0.1, 0.9) * np.cos((hour - self._rng.uniform(8, 20)) * np.pi / 12)
        pattern += np.where(day % 7 >= 5, log(self._rng.uniform(0.3, 1.0)), 0.0)
        pattern += np.repeat(self._rng.normal(0, 0.1, steps // STEPS_A_DAY), STEPS_A_DAY)
        factor = np.ones(steps)
        if self.has_bursts:
            count = self._rng.poisson(self._rng.uniform(1, 3) * steps / STEPS_A_DAY)
            for begin in self._rng.integers(0, steps, count):
                length = 2 + int(self._rng.exponential(8))
                factor[begin : begin + length] *= np.exp(self._rng.normal(log(3), 0.4))
        if self.has_batch:
            begin = int(self._rng.integers(0, 24)) * 120
            for start in range(begin, steps, STEPS_A_DAY):
                late = int(self._rng.integers(0, 4))
                factor[start + late : start + late + 20] *= self._rng.uniform(4, 6)
        return self.mean * np.exp(pattern + self._wander(steps, self._rng.uniform(0.08, 0.2), 20)) * factor

    def _wander(self, steps: int, spread: float, length: int) -> Any:
        """Return noise with a correlation over ``length`` steps."""
        points = self._rng.normal(0, spread, steps // length + 2)
        return np.interp(np.arange(steps) / length, np.arange(len(points)), points)

    def _histograms(self, center: Any, spread: float) -> Any:
        """Return the histogram of log-normal durations of each step."""
        away = (_EDGES[None, :] - center[:, None]) / spread
        # The normal distribution, to within 0.0002.
        below = (1 + np.tanh(0.7988 * away * (1 + 0.04417 * away**2))) / 2
        parts = np.diff(below, axis=1, prepend=0.0, append=1.0)
        return self._rng.multinomial(self.ended, parts).reshape(len(center), BUCKETS)
