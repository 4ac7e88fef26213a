"""What a job will cost: a line through what jobs of its tenant and kind have cost, by the size of their payload.

The past is kept as a handful of sums that weigh at most ``MEMORY`` samples: older ones fade as new ones come, so a
prediction follows what a kind costs now, in constant space and in any order. Microseconds of slot time in and out;
the fragments ``predicted_us`` and ``fold_samples`` are the same arithmetic in SQL, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

# So many samples weigh as much as all that came before them.
MEMORY = 50.0
# With fewer samples a slope is chance. So is one by which the size explains less of the variance than this.
LINE_SAMPLES = 8.0
LINE_EXPLAINS = 0.3
# Sizes that differ by less than rounding have no slope.
LEAST_SPREAD = 1e-9
# One sample counts for at most so many times what was predicted: a lone outlier moves the mean by a seventh of
# itself at worst, a true change is followed within a few jobs. Nothing is cut before a kind is known a little.
OUTLIER = 8
KNOWN_SAMPLES = 5
# A job that resumes costs what is left of the whole, and never less than this part of it: whoever has used up his
# prediction was predicted badly.
LEAST_REMAINDER = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """A whole job that is over: the size of its payload, and the slot time of all its slices."""

    size: int
    cost_us: int


@dataclass(frozen=True, slots=True)
class CostSums:
    """Fading sums over samples; x is the size, y the cost. ``n`` is how many samples they weigh."""

    n: float
    x: float
    y: float
    xx: float
    xy: float
    yy: float
    least_us: float
    most_us: float

    @property
    def mean_us(self) -> float:
        return self.y / self.n


def fold(past: CostSums | None, samples: Sequence[Sample]) -> CostSums:
    """``past`` with more samples, at least one; those of one call weigh the same."""
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
    )
    if past is None:
        return fresh
    kept = min(1.0, MEMORY / past.n)
    # The observed range closes in on the mean as the sums fade, so that one extreme does not stay for ever.
    closed = min(1.0, fresh.n / MEMORY)
    return CostSums(
        n=past.n * kept + fresh.n,
        x=past.x * kept + fresh.x,
        y=past.y * kept + fresh.y,
        xx=past.xx * kept + fresh.xx,
        xy=past.xy * kept + fresh.xy,
        yy=past.yy * kept + fresh.yy,
        least_us=min(fresh.least_us, past.least_us + (past.mean_us - past.least_us) * closed),
        most_us=max(fresh.most_us, past.most_us + (past.mean_us - past.most_us) * closed),
    )


def cut_outlier(cost_us: int, predicted_us: int, known_samples: int) -> int:
    """What one sample counts for, given what was predicted and how many samples of its kind there were."""
    return cost_us if known_samples < KNOWN_SAMPLES else min(cost_us, OUTLIER * predicted_us)


def whole_cost_us(sums: CostSums, size: int) -> float:
    """The line at ``size`` where the size explains the cost, else the mean; within the observed range."""
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
    """Slot time that a job will still need, at least 1 µs.

    ``known`` are the sums to ask, best first: the tenant's for the kind, then the kind's; ``expected_us`` is what
    its queue expects of a kind that nobody has seen. ``used_us`` is what slices before have used of the whole.
    """
    guesses = chain((whole_cost_us(sums, size) for sums in known if sums is not None), [float(expected_us)])
    whole = next(guesses)
    return max(1, round(max(whole - used_us, whole * LEAST_REMAINDER)))
