"""Charts of numbers: lines with gaps without data, and colours that cover equal numbers of hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.statistics.chart_paths import CHART_HEIGHT
from scheduling.statistics.heat_map import CLASSES, HeatChoice, HeatMeasure, draw_heat, quantile_bounds
from scheduling.statistics.histogram import BUCKETS
from scheduling.statistics.minute_charts import (
    SPARK_HEIGHT,
    SPARK_WIDTH,
    MinuteTableRow,
    draw_ended,
    draw_values,
    draw_waits,
    spark,
)
from scheduling.statistics.throughput import EndedCounts

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
counts = st.lists(st.integers(0, 1_000), max_size=200)


def test_line_has_a_gap_without_data() -> None:
    drawn = spark([1, 2, None, 4])
    assert drawn.path.count("M") == 2
    assert drawn.path.split("M")[1].count("L") == 1
    dot = drawn.path.split("M")[2].split(" L")
    assert dot[0] == dot[1]
    assert drawn.summary == "Last hour: lowest 1, highest 4, latest 4."


def test_line_without_data_has_a_summary() -> None:
    assert spark([None] * 60).path == ""
    assert "No data" in spark([None] * 60).summary
    assert "highest 0" in spark([0] * 60).summary


@given(st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=60))
def test_line_stays_inside_its_chart(values: list[float | None]) -> None:
    numbers = [float(part) for part in spark(values).path.replace("M", " ").replace("L", " ").split()]
    assert all(0 <= x <= SPARK_WIDTH for x in numbers[::2])
    assert all(0 <= y <= SPARK_HEIGHT for y in numbers[1::2])


def minute_rows(*ended: EndedCounts) -> list[MinuteTableRow]:
    return [MinuteTableRow(NOON + timedelta(minutes=minute), one, None, None) for minute, one in enumerate(ended)]


def waited(bucket: int) -> EndedCounts:
    return EndedCounts(completed=1, wait=[int(number == bucket) for number in range(BUCKETS)])


def test_bars_of_ended_runs_are_stacked_below_a_round_number() -> None:
    chart = draw_ended(minute_rows(EndedCounts(completed=6, failed=2), EndedCounts(), EndedCounts(failed=1)))
    assert chart.scale == ("10", "5", "0")
    unit = CHART_HEIGHT / 10
    assert chart.paths == {
        "completed": f"M1 {CHART_HEIGHT:.1f}v-{6 * unit:.1f}h8v{6 * unit:.1f}z",
        "failed": f"M1 {CHART_HEIGHT - 6 * unit:.1f}v-{2 * unit:.1f}h8v{2 * unit:.1f}z"
        f"M21 {CHART_HEIGHT:.1f}v-{unit:.1f}h8v{unit:.1f}z",
    }
    assert chart.summary == "6 completed and 3 failed in 3 minutes."
    assert [minute.title for minute in chart.minutes][:2] == [
        "12:00: 6 completed, 2 failed",
        "12:01: 0 completed, 0 failed",
    ]
    assert chart.width == 30


def test_time_axis_has_a_label_every_quarter_and_at_the_end() -> None:
    chart = draw_ended(minute_rows(*[EndedCounts() for _ in range(60)]))
    assert [f"{at:%H:%M}" for at in chart.times] == ["12:00", "12:15", "12:30", "12:45", "12:59"]
    assert chart.scale == ("2", "1", "0")


def test_lines_of_waits_have_a_gap_without_starts() -> None:
    chart = draw_waits(minute_rows(waited(8), waited(15), EndedCounts(), waited(8)))
    assert set(chart.paths) == {"p50", "p95", "p99"}
    assert all(path.count("M") == 2 for path in chart.paths.values())
    assert chart.minutes[2].title == "12:02: no jobs started"
    assert chart.minutes[0].title.startswith("12:00: p50 ")
    assert chart.summary.startswith("In the worst minute one job in twenty waited longer than ")


def test_waits_of_an_hour_without_starts_have_no_line() -> None:
    chart = draw_waits(minute_rows(EndedCounts(), EndedCounts()))
    assert set(chart.paths.values()) == {""}
    assert chart.summary == "No jobs started in this time."


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60))
def test_bars_stay_inside_the_chart(completed: list[int]) -> None:
    path = draw_ended(minute_rows(*[EndedCounts(completed=count) for count in completed])).paths["completed"]
    heights = [float(part.split("h")[0]) for part in path.split("v-")[1:]]
    assert all(0 <= height <= CHART_HEIGHT for height in heights)


@given(counts)
def test_each_class_begins_at_an_existing_value(values: list[int]) -> None:
    bounds = quantile_bounds(values)
    known = [value for value in values if value]
    assert len(bounds) <= CLASSES
    assert bounds == sorted(set(bounds))
    assert set(bounds) <= set(known)
    assert bounds[:1] == ([min(known)] if known else [])


def test_classes_of_distinct_values_have_equal_sizes() -> None:
    assert quantile_bounds(list(range(1, 101))) == [1, 21, 41, 61, 81]


@pytest.mark.parametrize(("ended", "heats"), [([0, 7, 7], [0, 5, 5]), ([0, 1, 9], [0, 4, 5]), ([0, 0, 0], [0, 0, 0])])
def test_heat_is_none_for_zero_and_greatest_for_the_maximum(ended: list[int], heats: list[int]) -> None:
    hours = [NOON + timedelta(hours=hour) for hour in range(len(ended))]
    [row] = draw_heat(HeatChoice(), hours, {"noop": ended}).rows
    assert [cell.heat for cell in row.cells] == heats
    assert row.summary == f"noop: at most {max(ended)}."


def test_times_of_a_map_are_in_words_and_missing_ones_are_dashes() -> None:
    choice = HeatChoice(measure=HeatMeasure.WAIT_P95)
    heat = draw_heat(choice, [NOON, NOON + timedelta(hours=1)], {"noop": [None, 90.0]})
    assert [cell.words for cell in heat.rows[0].cells] == ["–", "1 min 30 s"]
    assert [(each.heat, each.words) for each in heat.classes] == [(CLASSES, "1 min 30 s")]


@pytest.mark.parametrize(("hours", "form", "title"), [(1, "minute", "13:00: 3"), (24, "day", "11-21 12:00: 3")])
def test_counts_are_bars_whose_scale_and_times_are_whole(hours: int, form: str, title: str) -> None:
    points = [(NOON + timedelta(hours=hours * at), float(count)) for at, count in enumerate((1, 3, 0))]
    chart = draw_values(points, "{:g}".format, is_count=True)
    assert chart.scale == ("4", "2", "0")
    assert chart.paths["count"].count("M") == 2
    assert chart.time_form == form
    assert chart.minutes[1].title == title
