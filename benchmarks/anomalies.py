"""The benchmark of anomalies: false ones over weeks of usual load, and the time until planted changes are found."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.anomaly_loads import STEPS_A_DAY, Change, Series
from benchmarks.harness.parts import Benchmark, Finding, Part, at_least, at_most, shown
from jobsplatform.demo.measures import percentile
from scheduling.anomalies.detector import (
    CONFIRMED,
    SCALES,
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
HISTORY_DAYS, REPLAY_DAYS = 28, 14
HOUR_STEPS = STEPS_A_DAY // 24
CHANGES, CHANGE_STEPS = 40, 20
# Counts are a second old when a dispatcher looks.
LOOK_SECONDS, AGE_SECONDS, MOST_SECONDS = 30.0, 1.0, 120.0
# Looks after which a deviation that is seen no more has ended.
CALM_LOOKS = 10
LEAST_RATE = 15.0
# Planted changes: how a value is multiplied, and the failed part that it becomes.
FACTORS = {
    Measure.RATE: (4.0, 6.0, 0.0, 0.1),
    Measure.WAIT: (10.0, 30.0),
    Measure.RUN: (3.0, 6.0),
    Measure.FAILURES: (0.3, 0.6),
}
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
        for step in range(first, last):
            windows = windows_of(*self.series.recent(step))
            for measure, learned in self.learned.items():
                at = range_at(learned, FIRST_HOUR + (step + 1) // HOUR_STEPS) if learned else None
                verdict = judge(measure, learned, at, windows) if learned and at else None
                seen[measure] = verdict.confirm(seen[measure]) if verdict else 0
                if verdict and verdict.score is not None and seen[measure] >= CONFIRMED:
                    if calm[measure] >= CALM_LOOKS:
                        yield Alarm(measure, step, verdict.value, verdict.score)
                    calm[measure] = 0
                calm[measure] += not seen[measure]


def measure_false_alarms(folder: Path) -> list[Finding]:
    """Replay two weeks of usual load after four weeks of history."""
    del folder
    alarms: list[tuple[int, str]] = []
    looks, began, learning = 0, time.perf_counter(), 0.0
    for seed in range(SERIES):
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
        print(*alarm)
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
    chooser = random.Random(1)  # noqa: S311 - not for secrets
    took, missed = [], []
    for number in range(CHANGES):
        measure = list(Measure)[number % len(Measure)]
        factor = FACTORS[measure][number // len(Measure) % len(FACTORS[measure])]
        while True:
            seed = chooser.randrange(SERIES)
            step = HISTORY_DAYS * STEPS_A_DAY + chooser.randrange(STEPS_A_DAY - CHANGE_STEPS)
            usual = Series(seed, HISTORY_DAYS + 1)
            busy = usual.ended[step - 60 : step].sum() / 30 >= LEAST_RATE
            if busy and not (measure == Measure.RATE and factor > 1 and usual.has_bursts):
                break
        replay = Replay(Series(seed, HISTORY_DAYS + 1, Change(measure, step, CHANGE_STEPS, factor)))
        alarms = [alarm for alarm in replay.look(step - 20, step + CHANGE_STEPS) if alarm.step >= step]
        found = next((alarm for alarm in alarms if alarm.measure == measure), None)
        seconds = (found.step - step + 1) * LOOK_SECONDS + AGE_SECONDS if found else None
        print(number, measure, factor, seed, f"{usual.mean:.0f}/min", usual.has_bursts, seconds, found)
        took.append(seconds) if seconds else missed.append(number)
    beside = "rate ×4, ×6, ×0.1 and stopped; wait ×10, ×30; run time ×3, ×6; 30 % and 60 % failed"
    within = sum(seconds <= MOST_SECONDS for seconds in took)
    return [
        at_least(f"of {CHANGES} planted changes found within 2 minutes", within, CHANGES, ".0f", beside),
        shown(
            "time until found, p50, p95 and most",
            f"{percentile(took, 0.5):.0f} s, {percentile(took, 0.95):.0f} s and {max(took):.0f} s",
        ),
    ]


BENCHMARK = Benchmark(
    name="anomalies",
    title="Anomalies",
    parts=(Part("false_anomalies", 10.0, measure_false_alarms), Part("changes", 3.0, measure_changes)),
    method="",
)
