"""What is drawn of numbers: lines that break where nobody looked, colours that each hold about as many hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.dashboards.heat_map import CLASSES, draw_heat, quantile_bounds
from scheduling.dashboards.minute_charts import SPARK_HEIGHT, SPARK_WIDTH, spark
from scheduling.selectors.kind_hours import HourCount, KindHours, KindLine

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
counts = st.lists(st.integers(0, 1_000), max_size=200)


def test_a_line_breaks_where_nobody_looked() -> None:
    drawn = spark([1, 2, None, 4])
    assert drawn.path.count("M") == 2
    assert drawn.path.split("M")[1].count("L") == 1
    dot = drawn.path.split("M")[2].split(" L")
    assert dot[0] == dot[1]
    assert drawn.summary == "Last hour: least 1, most 4, last 4."


def test_a_line_of_nothing_says_so() -> None:
    assert spark([None] * 60).path == ""
    assert "Nobody looked" in spark([None] * 60).summary
    assert "most 0" in spark([0] * 60).summary


@given(st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=60))
def test_a_line_stays_in_its_box(values: list[float | None]) -> None:
    numbers = [float(part) for part in spark(values).path.replace("M", " ").replace("L", " ").split()]
    assert all(0 <= x <= SPARK_WIDTH for x in numbers[::2])
    assert all(0 <= y <= SPARK_HEIGHT for y in numbers[1::2])


@given(counts)
def test_each_class_begins_at_a_value_that_is_there(values: list[int]) -> None:
    bounds = quantile_bounds(values)
    known = [value for value in values if value]
    assert len(bounds) <= CLASSES
    assert bounds == sorted(set(bounds))
    assert set(bounds) <= set(known)
    assert bounds[:1] == ([min(known)] if known else [])


def test_classes_of_different_values_hold_as_many_each() -> None:
    assert quantile_bounds(list(range(1, 101))) == [1, 21, 41, 61, 81]


@pytest.mark.parametrize(("ended", "heats"), [([0, 7, 7], [0, 5, 5]), ([0, 1, 9], [0, 4, 5]), ([0, 0, 0], [0, 0, 0])])
def test_nothing_is_plain_and_the_most_is_deepest(ended: list[int], heats: list[int]) -> None:
    hours = [NOON + timedelta(hours=hour) for hour in range(len(ended))]
    line = KindLine("noop", [HourCount(count) for count in ended])
    [row] = draw_heat(KindHours(hours, [line], hidden=0)).rows
    assert [cell.heat for cell in row.cells] == heats
    assert f"at most {max(ended)} in one" in row.summary
