"""The detector: usual ranges follow the week, rare incidents widen nothing, and too few runs have no verdict."""

from __future__ import annotations

import math
import random

import pytest

from scheduling.anomalies.detector import (
    CONFIRMED,
    LEAST_EXCESS,
    SCALES,
    SHORT_EXCESS,
    Counts,
    Hour,
    Learned,
    Measure,
    Verdict,
    Window,
    add_counts,
    find_shift,
    hour_of_week,
    judge,
    learn,
    observe,
    range_at,
    windows_of,
)
from scheduling.statistics.histogram import BUCKETS

NOW = 500_000
WEEKS = 4 * 168


def counts(ended: int, *, failed: int = 0, bucket: int = 6) -> Counts:
    histogram = [ended * (at == bucket) for at in range(BUCKETS)]
    return Counts(ended, failed, histogram, histogram)


def hour(rate: float, high: float | None = None) -> Hour:
    of = SCALES[Measure.RATE].of
    return Hour(of(rate), 0.05, of(rate * 0.9), of(high or rate * 1.1), rate)


def rates(**others: Hour) -> dict[int, Hour]:
    """Return four weeks of 100 runs a minute, with noise, at night 20; and other hours by their age."""
    noise = random.Random(1)
    usual = {
        at: hour((20 if hour_of_week(at) % 24 < 6 else 100) * noise.uniform(0.95, 1.05))
        for at in range(NOW - WEEKS, NOW)
    }
    return usual | {NOW - int(age.removeprefix("ago_")): one for age, one in others.items()}


def verdict_of(learned: Learned, at: int, found: Counts, measure: Measure = Measure.RATE) -> Verdict:
    verdict = judge(measure, learned, range_at(learned, at), windows_of([found, found, found, found, found], 1.0))
    assert verdict is not None
    return verdict


def night_and_day() -> tuple[int, int]:
    night = next(at for at in range(NOW, NOW + 24) if hour_of_week(at) % 24 == 3)
    return night, night + 10


def test_range_follows_the_hour_of_the_week() -> None:
    learned, (night, day) = learn(Measure.RATE, rates(), NOW), night_and_day()
    assert learned is not None
    assert not verdict_of(learned, day, counts(105)).is_deviation
    assert verdict_of(learned, night, counts(105)).is_deviation
    assert (verdict_of(learned, day, counts(20)).score or 0) < -1


def test_hour_of_week_begins_on_monday() -> None:
    assert [hour_of_week(at) for at in (0, 95, 96)] == [72, 167, 0]


@pytest.mark.parametrize(("days", "is_usual"), [(2, False), (5, True)])
def test_few_days_of_incidents_are_not_usual_but_more_are(days: int, is_usual: bool) -> None:
    bursts = {f"ago_{24 * day + 10}": hour(100, 700) for day in range(1, days + 1)}
    learned = learn(Measure.RATE, rates(**bursts), NOW)
    assert learned is not None
    assert (learned.above > LEAST_EXCESS) is is_usual
    assert verdict_of(learned, night_and_day()[1], counts(700)).is_deviation is not is_usual


def test_short_history_is_compared_with_the_last_day() -> None:
    recent = {at: one for at, one in rates().items() if at >= NOW - 13 * 24}
    learned = learn(Measure.RATE, recent, NOW)
    assert learned is not None
    assert (len(learned.ranges), learned.above) == (1, SHORT_EXCESS)
    assert verdict_of(learned, NOW, counts(20)).is_deviation is False
    assert learn(Measure.RATE, {at: hour(9) for at in range(NOW - 23, NOW)}, NOW) is None


def test_hours_without_runs_count_as_none() -> None:
    learned = learn(Measure.RATE, {NOW - WEEKS: hour(100), NOW - 1: hour(100)}, NOW)
    assert learned is not None
    assert range_at(learned, NOW + 30).center == SCALES[Measure.RATE].of(0)


def test_fewer_than_thirty_runs_have_no_verdict() -> None:
    learned = learn(Measure.RATE, {at: hour(2) for at in range(NOW - WEEKS, NOW)}, NOW)
    assert learned is not None
    assert verdict_of(learned, NOW, counts(0)).score is None
    assert verdict_of(learned, NOW, counts(5)).score is None
    assert verdict_of(learned, NOW, counts(60)).is_deviation


def test_series_that_stops_deviates() -> None:
    learned = learn(Measure.RATE, rates(), NOW)
    assert learned is not None
    assert verdict_of(learned, night_and_day()[1], Counts()).confirm(0) == CONFIRMED


def test_shortest_window_with_enough_runs_is_judged() -> None:
    fast, slow = (windows_of([counts(n)] * 5, 0.5) for n in (40, 10))
    assert [window.minutes for window in fast] == [1.5, 4.5]
    usual = {at: Hour(SCALES[Measure.FAILURES].of(0.01), 0.01, 0.0, 0.2, 50) for at in range(NOW - WEEKS, NOW)}
    learned = learn(Measure.FAILURES, usual, NOW)
    assert learned is not None
    at = range_at(learned, NOW)
    assert judge(Measure.FAILURES, learned, at, fast) == Verdict(0.0, 0.0)
    assert judge(Measure.FAILURES, learned, at, [slow[0]]) == Verdict(0.0, None)
    assert judge(Measure.FAILURES, learned, at, slow) == Verdict(0.0, 0.0)
    assert judge(Measure.FAILURES, learned, at, [Window(counts(90, failed=60), 1.0)]).is_deviation  # type: ignore[union-attr]


def test_deviation_is_confirmed_by_two_looks_or_by_its_size() -> None:
    assert [Verdict(1.0, score).confirm(0) for score in (None, 0.9, 1.0, -1.1, 1.2, -9.0)] == [0, 0, 1, 1, 2, 2]
    assert Verdict(1.0, 1.0).confirm(1) == CONFIRMED


def test_low_waits_and_failures_are_good() -> None:
    for measure, value in ((Measure.WAIT, 60.0), (Measure.FAILURES, 0.5)):
        scaled = SCALES[measure].of(value)
        usual = {at: Hour(scaled, 0.01, scaled - 0.01, scaled + 0.01, 200) for at in range(NOW - WEEKS, NOW)}
        learned = learn(measure, usual, NOW)
        assert learned is not None
        assert verdict_of(learned, NOW, counts(200, bucket=0), measure).score == 0.0


def test_mean_size_of_results_of_completed_runs_deviates_both_ways() -> None:
    def sized(each: int) -> Counts:
        return counts(60, failed=20)._replace(result_bytes=40 * each)

    summary = observe([sized(500)] * 60)[Measure.RESULT]
    assert (summary.samples, round(SCALES[Measure.RESULT].back(summary.median))) == (40, 500)
    learned = learn(Measure.RESULT, dict.fromkeys(range(NOW - WEEKS, NOW), summary), NOW)
    assert learned is not None
    scores = [verdict_of(learned, NOW, sized(each), Measure.RESULT).score or 0.0 for each in (50, 450, 5_000)]
    assert (scores[0] < -1, scores[1] > -1, scores[2] > 1) == (True, True, True)
    assert Counts(30, 30).value(Measure.RESULT, 1.0) is None


def test_hour_is_summarized_in_bins_of_enough_runs() -> None:
    found = observe([counts(40, failed=4)] * 60)
    assert found[Measure.RATE].samples == 40
    assert math.isclose(SCALES[Measure.FAILURES].back(found[Measure.FAILURES].median), 0.1)
    assert observe([counts(20)] * 60)[Measure.RATE].samples == 40
    assert set(observe([counts(3)] * 60)) == {Measure.RATE}


def test_lasting_change_of_the_level_is_found_where_it_began() -> None:
    usual = {at: hour(100) for at in range(NOW - WEEKS, NOW)}
    learned = learn(Measure.RATE, usual, NOW)
    assert learned is not None
    assert find_shift(Measure.RATE, learned, usual, NOW) is None
    since, score = find_shift(Measure.RATE, learned, usual | {NOW - n: hour(220) for n in range(1, 6)}, NOW) or (0, 0)
    assert (since, score >= 1) == (NOW - 5, True)
    one = usual | {NOW - 1: hour(900)}
    assert find_shift(Measure.RATE, learned, one, NOW) is None


def test_counts_are_added_by_bucket() -> None:
    assert add_counts([counts(2, failed=1), Counts(), counts(3)]) == counts(5, failed=1)
