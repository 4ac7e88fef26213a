"""Pure detector of deviations: what is usual for a series at an hour of the week, and whether it is beyond that.

Values are compared on a scale on which their spread hardly depends on their size; a *spread* is a robust standard
deviation on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import asin, exp, expm1, hypot, log, log1p, sin, sqrt
from statistics import median
from typing import NamedTuple

from scheduling.statistics.histogram import percentile

HOURS_OF_WEEK = 168
# Fewer runs give no verdict. A window is the shortest with so many; hours are learned in bins of about as many.
LEAST_SAMPLES = 30
WINDOWS, BINS = (2, 5), (1, 2, 5)
# With a shorter history the last day is compared, with less than a day there is no verdict.
WEEKLY_HOURS, LEAST_HOURS = 14 * 24, 24
# Spreads beyond the usual range from which a value deviates, if the series has never been there. Otherwise MARGIN times
# what it exceeded on its third-worst day: fewer days of incidents do not count as usual.
LEAST_EXCESS, MARGIN, WORST_DAYS = 3.5, 2.2, 3
# The same with a short history.
SHORT_EXCESS = 8.0
# A deviation is confirmed by two looks; one suffices if the score is this.
CONFIRMED, CERTAIN = 2, 1.2
# CUSUM over the hours of two days: spreads of one hour that are usual, and their sum from which a change is lasting.
SHIFT_HOURS, SLACK, SHIFT, MOST_SHIFT = 48, 3.0, 9.0, 18.0


class Measure(StrEnum):
    """A measured quantity of a series."""

    RATE = "rate"
    WAIT = "wait"
    RUN = "run"
    FAILURES = "failures"
    RESULT = "result"


class Scale(NamedTuple):
    """Conversion of values to the scale of comparison and back, the least spread on it, and the noise of one sample."""

    of: Callable[[float], float]
    back: Callable[[float], float]
    floor: float
    noise: float
    is_low_bad: bool = False


SCALES = {
    Measure.RATE: Scale(lambda rate: log(rate + 0.5), lambda x: exp(x) - 0.5, 0.1, 1.0, is_low_bad=True),
    Measure.WAIT: Scale(log1p, expm1, 0.1, 1.0),
    Measure.RUN: Scale(lambda run: log(run + 0.05), lambda x: exp(x) - 0.05, 0.1, 1.0, is_low_bad=True),
    Measure.FAILURES: Scale(lambda part: asin(sqrt(part)), lambda x: sin(x) ** 2, 0.02, 0.5),
    Measure.RESULT: Scale(lambda size: log(size + 32), lambda x: exp(x) - 32, 0.1, 1.0, is_low_bad=True),
}


class Counts(NamedTuple):
    """Executions that ended in some minutes, histograms of their waits and run times, and the size of all results."""

    ended: int = 0
    failed: int = 0
    wait: Sequence[int] = ()
    run: Sequence[int] = ()
    result_bytes: int = 0

    def samples(self, measure: Measure) -> int:
        """Return how many executions the measure is made of."""
        if measure == Measure.RESULT:
            return self.ended - self.failed
        return sum(self.wait) if measure == Measure.WAIT else self.ended

    def value(self, measure: Measure, minutes: float) -> float | None:
        """Return runs a minute, a percentile in seconds, the failure rate, or mean bytes; None without samples."""
        if measure == Measure.RATE:
            return self.ended / minutes
        if measure == Measure.FAILURES:
            return self.failed / self.ended if self.ended else None
        if measure == Measure.RESULT:
            return self.result_bytes / (self.ended - self.failed) if self.ended > self.failed else None
        return percentile(*((self.wait, 0.95) if measure == Measure.WAIT else (self.run, 0.8)))


def add_counts(parts: Collection[Counts]) -> Counts:
    """Return the sum of counts; histograms are added bucket by bucket."""
    if len(parts) == 1:
        return next(iter(parts))
    wait, run = ([part.wait for part in parts if part.wait], [part.run for part in parts if part.run])
    return Counts(
        sum(part.ended for part in parts),
        sum(part.failed for part in parts),
        [sum(bucket) for bucket in zip(*wait, strict=True)],
        [sum(bucket) for bucket in zip(*run, strict=True)],
        sum(part.result_bytes for part in parts),
    )


class Hour(NamedTuple):
    """One hour of a measure on its scale: median, spread, least and greatest value of its bins; samples of a bin."""

    median: float
    spread: float
    low: float
    high: float
    samples: float


class Usual(NamedTuple):
    """The usual range of a measure at one hour of the week, on its scale; ``spread`` is without the noise of chance."""

    center: float
    spread: float
    low: float
    high: float

    def spread_at(self, measure: Measure, samples: float) -> float:
        """Return the spread of values of so many samples."""
        return hypot(self.spread, noise_of(measure, samples))


@dataclass(frozen=True, slots=True)
class Learned:
    """What is usual: 168 ranges from Monday on, or one; and the spreads beyond it from which a value deviates."""

    ranges: Sequence[Usual]
    below: float
    above: float
    hours: int


class Window(NamedTuple):
    """Counts of the last minutes, and how many these are; the current one is incomplete."""

    counts: Counts
    minutes: float


class Verdict(NamedTuple):
    """A judged value. ``score`` is 1 for the least deviation, negative below the range; None: too few samples."""

    value: float
    score: float | None

    @property
    def is_deviation(self) -> bool:
        return self.score is not None and abs(self.score) >= 1

    def confirm(self, seen: int) -> int:
        """Return how many looks in a row found a deviation, which is confirmed from CONFIRMED on; 0 if it is none."""
        if not self.is_deviation:
            return 0
        return CONFIRMED if abs(self.score or 0.0) >= CERTAIN else min(CONFIRMED, seen + 1)


def observe(minutes: Sequence[Counts]) -> dict[Measure, Hour]:
    """Return the summary of an hour of 60 counts for each measure that has enough samples."""
    ended = sum(minute.ended for minute in minutes)
    size = next((size for size in BINS if ended * size >= LEAST_SAMPLES * len(minutes)), BINS[-1])
    bins = [add_counts(minutes[at : at + size]) for at in range(0, len(minutes), size)]
    found = {}
    for measure, scale in SCALES.items():
        least = 0 if measure == Measure.RATE else LEAST_SAMPLES
        used = [(each.value(measure, size), each.samples(measure)) for each in bins if each.samples(measure) >= least]
        values = sorted(scale.of(value) for value, _ in used if value is not None)
        if len(values) >= 3:
            samples = median(number for _, number in used)
            found[measure] = Hour(median(values), spread_of(values), values[0], values[-1], samples)
    return found


def learn(measure: Measure, history: Mapping[int, Hour], now: int) -> Learned | None:
    """Return what is usual, from summaries by hour since 1970; None with less than a day of them."""
    first = min(history, default=now)
    hours = dict(history)
    if measure == Measure.RATE:
        nothing = SCALES[measure].of(0.0)
        hours = {at: history.get(at, Hour(nothing, 0.0, nothing, nothing, 0.0)) for at in range(first, now)}
    if len(hours) < LEAST_HOURS:
        return None
    if now - first < WEEKLY_HOURS:
        last = [hours[at] for at in sorted(hours)[-LEAST_HOURS:]]
        whole_day = _range_of(measure, last)._replace(
            low=min(hour.low for hour in last), high=max(hour.high for hour in last)
        )
        return Learned([whole_day], SHORT_EXCESS, SHORT_EXCESS, len(hours))
    cells: list[list[Hour]] = [[] for _ in range(HOURS_OF_WEEK)]
    for at, hour in hours.items():
        for near in (at - 1, at, at + 1):
            cells[hour_of_week(near)].append(hour)
    everything = list(hours.values())
    ranges = [_range_of(measure, cell or everything) for cell in cells]
    # The spread of few weeks may be small by chance; that of all hours together is not.
    whole = spread_of([hour.median - ranges[hour_of_week(at)].center for at, hour in hours.items()], 0.0)
    ranges = [each._replace(spread=max(each.spread, whole)) for each in ranges]
    worst: dict[int, tuple[float, float]] = {}
    for at, hour in hours.items():
        usual = ranges[hour_of_week(at)]
        spread = usual.spread_at(measure, hour.samples)
        below, above = worst.get(at // 24, (0.0, 0.0))
        worst[at // 24] = max(below, (usual.low - hour.low) / spread), max(above, (hour.high - usual.high) / spread)
    all_below, all_above = (sorted(side, reverse=True) for side in zip(*worst.values(), strict=True))
    return Learned(ranges, _limit(all_below), _limit(all_above), len(hours))


def windows_of(recent: Sequence[Counts], elapsed: float) -> list[Window]:
    """Return the windows, shortest first, of counts by minute; the first is of the elapsed part of the current one."""
    return [Window(add_counts(recent[:size]), size - 1 + elapsed) for size in WINDOWS]


def judge(measure: Measure, learned: Learned, at: Usual, windows: Sequence[Window]) -> Verdict | None:
    """Return the verdict on the shortest window with enough samples; None if no window has a value."""
    found = None
    for window in windows:
        if (verdict := _judge(measure, learned, at, window)) is not None:
            found = verdict
            if verdict.score is not None:
                break
    return found


def _judge(measure: Measure, learned: Learned, at: Usual, window: Window) -> Verdict | None:
    value = window.counts.value(measure, window.minutes)
    if value is None:
        return None
    expected = SCALES[measure].back(at.center) * window.minutes if measure == Measure.RATE else 0.0
    samples = max(float(window.counts.samples(measure)), expected)
    if samples < LEAST_SAMPLES:
        return Verdict(value, None)
    scaled = SCALES[measure].of(value)
    spread = at.spread_at(measure, expected or samples)
    if scaled >= at.low:
        return Verdict(value, max(0.0, scaled - at.high) / spread / learned.above)
    return Verdict(value, (scaled - at.low) / spread / learned.below if SCALES[measure].is_low_bad else 0.0)


def find_shift(measure: Measure, learned: Learned, hours: Mapping[int, Hour], now: int) -> tuple[int, float] | None:
    """Return since which hour the medians are lastingly shifted, and a score (negative: down); None if they are not."""
    for sign in (1.0, -1.0) if SCALES[measure].is_low_bad else (1.0,):
        total, since = 0.0, now
        for at in range(now - SHIFT_HOURS, now):
            if (hour := hours.get(at)) is None:
                continue
            usual = range_at(learned, at)
            spread = usual.spread_at(measure, hour.samples)
            since = since if total else at
            # One hour alone is not lasting.
            excess = min(SHIFT / 2, sign * (hour.median - usual.center) / spread - SLACK)
            total = min(MOST_SHIFT, max(0.0, total + excess))
        if total >= SHIFT:
            return since, sign * total / SHIFT
    return None


def range_at(learned: Learned, hour: int) -> Usual:
    """Return what is usual at an hour since 1970."""
    return learned.ranges[hour_of_week(hour) % len(learned.ranges)]


def hour_of_week(hour: int) -> int:
    """Return the hour of the week, 0 for Monday at midnight UTC, of an hour since 1970, which began on a Thursday."""
    return (hour + 72) % HOURS_OF_WEEK


def spread_of(values: Collection[float], center: float | None = None) -> float:
    """Return the robust standard deviation of values: 1.4826 times the median of their distances from the median."""
    middle = median(values) if center is None else center
    return 1.4826 * median(abs(value - middle) for value in values)


def noise_of(measure: Measure, samples: float) -> float:
    """Return the spread of values of so many samples that comes from chance alone."""
    return SCALES[measure].noise / sqrt(max(samples, 1.0))


def _range_of(measure: Measure, hours: Sequence[Hour]) -> Usual:
    """Return the usual range over hours: the median of their medians, and of their least and greatest values."""
    medians = [hour.median for hour in hours]
    center = median(medians)
    within = [sqrt(max(0.0, hour.spread**2 - noise_of(measure, hour.samples) ** 2)) for hour in hours]
    spread = max(spread_of(medians, center), median(within), SCALES[measure].floor)
    return Usual(center, spread, median(hour.low for hour in hours), median(hour.high for hour in hours))


def _limit(excesses: Sequence[float]) -> float:
    usual_excess = next(iter(excesses[WORST_DAYS - 1 :]), 0.0)
    return max(LEAST_EXCESS, MARGIN * usual_excess)
