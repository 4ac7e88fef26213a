"""Times of rows on a database whose clock is set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.chaos.rows.clocks import next_gap
from tests.chaos.timeline import Timeline

TABLE = "event"
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


class Database:
    """Table that numbers rows, and dates them by a clock that can be set."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.ahead = timedelta()
        self.number = 0
        # Dates with numbers, and the true times.
        self.rows: list[tuple[datetime, int, datetime]] = []

    def write(self, second: float, *, dated: float | None = None, ahead: timedelta | None = None) -> None:
        """Write a row, which may have been dated earlier and under the previous clock."""
        self.number += 1
        true = at(second if dated is None else dated)
        self.rows.append((true + (self.ahead if ahead is None else ahead), self.number, true))

    def set_clock(self, seconds: float) -> None:
        self.ahead = timedelta(seconds=seconds)
        self.timeline.step(self.ahead, {TABLE: self.number})

    def look(self, second: float) -> None:
        self.timeline.look(at(second), {TABLE: self.number})

    def errors(self) -> list[timedelta]:
        return [self.timeline.true_time(date, TABLE, number) - true for date, number, true in self.rows]


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.mark.parametrize("steps", [(0.0, 7_200.0, 10_000_000.0), (0.0, -60.0, -65.0, -125.0), (0.0, 7_200.0, -3.0)])
def test_rows_before_and_after_each_clock_step_keep_their_times(database: Database, steps: tuple[float, ...]) -> None:
    for number, ahead in enumerate(steps):
        if number:
            database.set_clock(ahead)
        for second in range(10):
            database.write(number * 10 + second)
        database.look(number * 10 + 9.9)
    assert set(database.errors()) == {timedelta()}


@pytest.mark.parametrize(("before", "after"), [(0.0, -60.0), (-60.0, -65.0), (0.0, 7_200.0)])
def test_row_dated_before_a_step_and_written_after_it_keeps_its_time(
    database: Database, before: float, after: float
) -> None:
    if before:
        database.set_clock(before)
    database.write(8.0)
    database.set_clock(after)
    database.write(10.3, dated=9.8, ahead=timedelta(seconds=before))
    database.look(10.4)
    database.write(10.5)
    database.look(10.6)
    assert set(database.errors()) == {timedelta()}


def test_row_without_a_look_has_the_latest_passed_time(database: Database) -> None:
    database.set_clock(-60.0)
    database.write(9.9, ahead=timedelta())
    assert database.errors() == [timedelta(seconds=60)]


def test_row_dated_after_the_look_that_read_it_keeps_its_time(database: Database) -> None:
    database.write(5.0, dated=5.2)
    database.look(5.1)
    assert database.errors() == [timedelta()]


@pytest.mark.parametrize(
    ("after", "gap"),
    [
        (datetime(2026, 11, 29, 6, 50, tzinfo=UTC), datetime(2027, 3, 28, 1, tzinfo=UTC)),
        (datetime(2027, 3, 28, 0, 59, tzinfo=UTC), datetime(2027, 3, 28, 1, tzinfo=UTC)),
        (datetime(2027, 3, 28, 1, tzinfo=UTC), datetime(2028, 3, 26, 1, tzinfo=UTC)),
        (datetime(2028, 3, 26, 4, 5, tzinfo=UTC), datetime(2029, 3, 25, 1, tzinfo=UTC)),
    ],
)
def test_clocks_are_set_ahead_on_the_last_sunday_of_march(after: datetime, gap: datetime) -> None:
    assert next_gap(after) == gap
