"""The benchmark of anomalies: false ones over weeks of usual load, and the time until planted changes are found."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.anomaly_loads import STEPS_A_DAY, Change, Series
from benchmarks.harness.parts import Benchmark, Finding, Part, at_least, at_most, shown
from jobsplatform.demo.measures import percentile
from scheduling.anomalies.detector import (
    CONFIRMED,
    SCALES,
    WINDOWS,
    Counts,
    Hour,
    Learned,
    Measure,
    find_shift,
    judge,
    learn,
    observe,
    range_at,
    windows_of,
)

SERIES = int(os.environ.get("ANOMALY_SERIES", "100"))
# The seed of the first series: limits were chosen with those from 0, 1000 and 4000 on.
FIRST_SERIES = int(os.environ.get("ANOMALY_FIRST_SERIES", "2000"))
HISTORY_DAYS, REPLAY_DAYS = 28, 7
HOUR_STEPS = STEPS_A_DAY // 24
CHANGES, CHANGE_STEPS = 40, 20
# Counts are two seconds old when a dispatcher looks.
LOOK_SECONDS, AGE_SECONDS, MOST_SECONDS = 30.0, 2.0, 120.0
# Looks after which a deviation that is seen no more has ended.
CALM_LOOKS = 10
# Planted changes: how a value is multiplied, and the failed part that it becomes; large ones must be found in time.
LARGE = {
    Measure.RATE: (6.0, 0.0),
    Measure.WAIT: (30.0, 100.0),
    Measure.RUN: (6.0, 10.0),
    Measure.FAILURES: (0.5, 0.8),
    Measure.RESULT: (10.0, 0.1),
}
SMALL = {
    Measure.RATE: (4.0, 0.2),
    Measure.WAIT: (10.0,),
    Measure.RUN: (3.0,),
    Measure.FAILURES: (0.3,),
    Measure.RESULT: (4.0,),
}
# Runs a minute of the series with large and small changes: a window of about a minute, or one of up to five.
LARGE_RATE, SMALL_RATE = 30.0, 8.0
_AGES = range(1, max(WINDOWS))
# Hours since 1970 of the first step, a Monday at midnight.
FIRST_HOUR = 96


@dataclass(frozen=True, slots=True)
class Alarm:
    """A deviation that was found, by the step of the look that confirmed it."""

    measure: Measure
    step: int
    value: float
    score: float


class Replay:
    """A series as the platform sees it: summaries by the hour, what is usual learned every day, looks at each step."""

    def __init__(self, series: Series, days: int = HISTORY_DAYS) -> None:
        self.series = series
        self.history: dict[Measure, dict[int, Hour]] = {measure: {} for measure in Measure}
        self.learned: dict[Measure, Learned | None] = {}
        for hour in range(days * 24):
            self.note(hour)
        self.learn(days * 24)

    def note(self, hour: int) -> None:
        """Add the summary of an hour."""
        minutes = self.series.minutes(hour * HOUR_STEPS, (hour + 1) * HOUR_STEPS)
        for measure, summary in observe(minutes).items():
            self.history[measure][FIRST_HOUR + hour] = summary

    def learn(self, hour: int) -> None:
        """Learn from the last four weeks before an hour."""
        now = FIRST_HOUR + hour
        for measure, hours in self.history.items():
            kept = {at: summary for at, summary in hours.items() if at >= now - HISTORY_DAYS * 24}
            self.learned[measure] = learn(measure, kept, now)

    def look(self, first: int, last: int) -> Iterator[Alarm]:
        """Yield the deviations that begin in a range of steps; one ends after five calm minutes."""
        seen, calm = dict.fromkeys(SCALES, 0), dict.fromkeys(SCALES, CALM_LOOKS)
        begin = first - first % 2 - 2 * len(_AGES)
        minutes = self.series.minutes(begin, last + last % 2)
        for step in range(first, last):
            # A look after a whole minute sees nothing of the next one, a look after half a minute sees the half.
            minute = (step + 1 - begin) // 2
            half, elapsed = (self.series.half(step), 0.5) if step % 2 == 0 else (Counts(), 0.0)
            windows = windows_of([half, *(minutes[minute - age] for age in _AGES)], elapsed)
            for measure, learned in self.learned.items():
                at = range_at(learned, FIRST_HOUR + (step - 1) // HOUR_STEPS) if learned else None
                verdict = judge(measure, learned, at, windows) if learned and at else None
                seen[measure] = verdict.confirm(seen[measure]) if verdict else 0
                if verdict and verdict.score is not None and seen[measure] >= CONFIRMED:
                    if calm[measure] >= CALM_LOOKS:
                        yield Alarm(measure, step, verdict.value, verdict.score)
                    calm[measure] = 0
                calm[measure] += not seen[measure]


def measure_false_alarms(folder: Path) -> list[Finding]:
    """Replay usual load after four weeks of history."""
    del folder
    alarms: list[tuple[int, str]] = []
    looks, began, learning = 0, time.perf_counter(), 0.0
    for seed in range(FIRST_SERIES, FIRST_SERIES + SERIES):
        replay = Replay(Series(seed, HISTORY_DAYS + REPLAY_DAYS))
        shifted = set()
        for day in range(HISTORY_DAYS, HISTORY_DAYS + REPLAY_DAYS):
            found = replay.look(day * STEPS_A_DAY, (day + 1) * STEPS_A_DAY)
            alarms += [(seed, f"{alarm}") for alarm in found]
            looks += STEPS_A_DAY * len(SCALES)
            for hour in range(day * 24, (day + 1) * 24):
                replay.note(hour)
                now = FIRST_HOUR + hour + 1
                for measure, learned in replay.learned.items():
                    shift = find_shift(measure, learned, replay.history[measure], now) if learned else None
                    if shift and measure not in shifted:
                        alarms.append((seed, f"shift {measure} {hour} {shift}"))
                    (shifted.add if shift else shifted.discard)(measure)
            moment = time.perf_counter()
            replay.learn((day + 1) * 24)
            learning += time.perf_counter() - moment
    for alarm in alarms:
        print("false:", *alarm)
    took = time.perf_counter() - began
    weekly = len(alarms) / (REPLAY_DAYS / 7) * 100 / SERIES
    beside = f"{SERIES} series, {HISTORY_DAYS} days of history, {REPLAY_DAYS} days replayed; {looks:,} verdicts"
    return [
        at_most("false anomalies a week per 100 series", weekly, 1.0, ".1f", beside),
        shown("learning one series", f"{1_000 * learning / SERIES / REPLAY_DAYS:.1f} ms", "all measures, once a day"),
        shown("replay", f"{took:.0f} s"),
    ]


def measure_changes(folder: Path) -> list[Finding]:
    """Plant changes of all measures into series, and measure when each is found."""
    del folder
    large, small = plant(LARGE, LARGE_RATE, FIRST_SERIES + 1), plant(SMALL, SMALL_RATE, FIRST_SERIES + 2)
    within = sum(seconds <= MOST_SECONDS for seconds in large)
    return [
        at_least(
            f"of {CHANGES} large changes found within 2 minutes",
            within,
            CHANGES,
            ".0f",
            "rate ×6 or stopped, wait ×30 or ×100, run time ×6 or ×10, 50 % or 80 % failed, results ×10 or ×0.1; "
            "at least 30 runs a minute",
        ),
        shown("time until a large change is found", _words(large)),
        shown(
            f"of {CHANGES} smaller changes found within 10 minutes",
            f"{len(small)}; {sum(seconds <= MOST_SECONDS for seconds in small)} of them within 2 minutes",
            "rate ×4 or ×0.2, wait ×10, run time ×3, 30 % failed, results ×4; at least 8 runs a minute",
        ),
        shown("time until a smaller change is found", _words(small)),
    ]


def plant(factors: Mapping[Measure, Sequence[float]], least_rate: float, seed: int) -> list[float]:
    """Plant changes at random times into random series; return the seconds until each was found, if it was."""
    chooser = random.Random(seed)  # noqa: S311 - not for secrets
    took = []
    for number in range(CHANGES):
        measure = list(Measure)[number % len(Measure)]
        factor = factors[measure][number // len(Measure) % len(factors[measure])]
        chosen, step = _choose(chooser, least_rate, is_rise=measure == Measure.RATE and factor > 1)
        series = Series(chosen, HISTORY_DAYS + 1, Change(measure, step, CHANGE_STEPS, factor))
        alarms = Replay(series).look(step - CHANGE_STEPS, step + CHANGE_STEPS)
        found = next((alarm for alarm in alarms if alarm.step >= step and alarm.measure == measure), None)
        if found:
            took.append((found.step - step + 1) * LOOK_SECONDS + AGE_SECONDS)
        else:
            print(f"not found: {measure} ×{factor} in series {chosen}, {series.mean:.0f} runs a minute")
    return took


def _choose(chooser: random.Random, least_rate: float, *, is_rise: bool) -> tuple[int, int]:
    """Return a series with so many runs a minute at a step; its bursts would explain a rise of its rate."""
    while True:
        seed = FIRST_SERIES + chooser.randrange(SERIES)
        step = HISTORY_DAYS * STEPS_A_DAY + chooser.randrange(CHANGE_STEPS, STEPS_A_DAY - CHANGE_STEPS)
        usual = Series(seed, HISTORY_DAYS + 1)
        if usual.ended[step - 60 : step].sum() / 30 >= least_rate and not (is_rise and usual.has_peaks):
            return seed, step


def _words(took: Sequence[float]) -> str:
    p50, p95 = percentile(took, 0.5), percentile(took, 0.95)
    return f"p50 {p50:.0f} s, p95 {p95:.0f} s, most {max(took):.0f} s"


BENCHMARK = Benchmark(
    name="anomalies",
    title="Anomalies",
    parts=(Part("false_anomalies", 10.0, measure_false_alarms), Part("changes", 3.0, measure_changes)),
    method="Counts of series by the half minute: log-normal rates of 8 to 600 runs a minute around a pattern of the "
    "day and the week, with noise; three in ten have one to three bursts a day of about ×3 for minutes, one in seven a "
    "batch of ten minutes a day of ×4 to ×6; waits grow with the rate; failures vary. The platform's detector learns "
    "four weeks, again each day, and looks each half minute, as a dispatcher does. False anomalies are all those of a "
    "replayed week, lasting changes too. Rates rise only in series without bursts and batches. No server is used.",
)
