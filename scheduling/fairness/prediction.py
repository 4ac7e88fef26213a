"""Cost prediction by a regression line through the costs of a tenant's jobs of a kind, over their payload size.

The past is kept as a few sums that weigh at most ``MEMORY`` samples: older ones fade as new ones come, so a prediction
follows a kind's current cost, in constant space and in any order; faster while it is always too high or too low.
Inputs and outputs are microseconds of slot time. The fragments ``predicted_us`` and ``fold_samples`` are the same
arithmetic in SQL; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

# This many samples weigh as much as all earlier ones; the second while the errors of predictions lie on one side:
# their sum is more than this part of the sum of their amounts.
MEMORY, DRIFT_MEMORY = 50.0, 10.0
ONE_SIDED = 0.6
# With fewer samples, or if the size explains less of the variance, a slope is chance.
LINE_SAMPLES = 8.0
LINE_EXPLAINS = 0.3
# Sizes that differ by less than rounding have no slope.
LEAST_SPREAD = 1e-9
# One sample counts for at most this multiple of its prediction: a single outlier moves the mean by a seventh of itself
# at worst, a true change is followed within a few jobs. Nothing is cut for a kind with fewer known samples.
OUTLIER = 8
KNOWN_SAMPLES = 5
# The least part of the whole that a resumed job costs: a job that has used up its prediction was predicted badly.
LEAST_REMAINDER = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """A finished job as input of the predictor: its payload size, and the slot time of all its slices.

    ``error_us`` is its prediction minus its measured time.
    """

    size: int
    cost_us: int
    error_us: float = 0.0


@dataclass(frozen=True, slots=True)
class CostSums:
    """Sums over samples, in which older samples fade; x is the size, y the cost, ``n`` how many samples they weigh.

    ``error_us`` sums the amounts of the errors of predictions, ``bias_us`` the errors with their sign.
    """

    n: float
    x: float
    y: float
    xx: float
    xy: float
    yy: float
    least_us: float
    most_us: float
    error_us: float = 0.0
    bias_us: float = 0.0

    @property
    def mean_us(self) -> float:
        return self.y / self.n


def fold(past: CostSums | None, samples: Sequence[Sample]) -> CostSums:
    """Return the sums with one or more samples added; ``past`` None: no earlier samples."""
    costs = [float(sample.cost_us) for sample in samples]
    sizes = [float(sample.size) for sample in samples]
    fresh = CostSums(
        n=float(len(samples)),
        x=sum(sizes),
        y=sum(costs),
        xx=sum(size * size for size in sizes),
        xy=sum(size * cost for size, cost in zip(sizes, costs, strict=True)),
        yy=sum(cost * cost for cost in costs),
        least_us=min(costs),
        most_us=max(costs),
        error_us=sum(abs(sample.error_us) for sample in samples),
        bias_us=sum(sample.error_us for sample in samples),
    )
    if past is None:
        return fresh
    error_us, bias_us = past.error_us + fresh.error_us, past.bias_us + fresh.bias_us
    memory = DRIFT_MEMORY if abs(bias_us) > ONE_SIDED * error_us else MEMORY
    kept = min(1.0, memory / past.n)
    # The observed range shrinks towards the mean as the sums fade, so that an extreme does not stay for ever.
    closed = min(1.0, fresh.n / memory)
    return CostSums(
        n=past.n * kept + fresh.n,
        x=past.x * kept + fresh.x,
        y=past.y * kept + fresh.y,
        xx=past.xx * kept + fresh.xx,
        xy=past.xy * kept + fresh.xy,
        yy=past.yy * kept + fresh.yy,
        least_us=min(fresh.least_us, past.least_us + (past.mean_us - past.least_us) * closed),
        most_us=max(fresh.most_us, past.most_us + (past.mean_us - past.most_us) * closed),
        error_us=past.error_us * kept + fresh.error_us,
        bias_us=past.bias_us * kept + fresh.bias_us,
    )


def cut_outlier(cost_us: int, predicted_us: int, known_samples: int) -> int:
    """Return the cost of a sample, limited to OUTLIER times its prediction once its kind has enough samples."""
    return cost_us if known_samples < KNOWN_SAMPLES else min(cost_us, OUTLIER * predicted_us)


def whole_cost_us(sums: CostSums, size: int) -> float:
    """Predict the cost of a job of this size: by the line if the size explains the cost, else the mean.

    The result stays within the observed range.
    """
    spread = sums.n * sums.xx - sums.x * sums.x
    covariance = sums.n * sums.xy - sums.x * sums.y
    variance = sums.n * sums.yy - sums.y * sums.y
    guess = sums.y / sums.n
    if (
        sums.n >= LINE_SAMPLES
        and spread > LEAST_SPREAD * sums.n * sums.xx
        and covariance * covariance >= LINE_EXPLAINS * spread * variance
    ):
        guess += covariance / spread * (size - sums.x / sums.n)
    return min(max(guess, sums.least_us), sums.most_us)


def predict(*known: CostSums | None, expected_us: int, size: int, used_us: int = 0) -> int:
    """Predict the slot time in microseconds that a job still needs, at least 1.

    ``known`` are the sums to use, best first: the tenant's for the kind, then the kind's; ``expected_us`` is the
    queue's default for an unknown kind. ``used_us`` is what earlier slices have used of the whole.
    """
    guesses = chain((whole_cost_us(sums, size) for sums in known if sums is not None), [float(expected_us)])
    whole = next(guesses)
    return max(1, round(max(whole - used_us, whole * LEAST_REMAINDER)))
