"""True times of rows, even if the clock that dates them was set forward or back meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

# Last number of each table.
type Numbers = Mapping[str, int]
# A row may be numbered a moment before it is dated.
_SLACK = timedelta(milliseconds=500)


class Timeline:
    """Steps of the database's clock, and the numbers given by then, with times of this machine's clock.

    Rows are numbered as they are written, so their numbers decide between two possible times of a date.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[timedelta, Numbers]] = []
        self._looks: list[tuple[datetime, Numbers]] = []

    def step(self, ahead: timedelta, numbers: Numbers) -> None:
        """Record that the clock is about to be this much ahead of this machine's."""
        self._steps.append((ahead, numbers))

    def look(self, at: datetime, numbers: Numbers) -> None:
        """Record that these numbers had been given by a time of this machine's clock."""
        self._looks.append((at, numbers))

    def true_time(self, at: datetime, table: str, number: int) -> datetime:
        """Return the date of a row by a correct clock: the latest at which it can have been written."""
        known = (look for look, numbers in self._looks if number <= numbers[table])
        latest = min(known, default=datetime.now(UTC)) + _SLACK
        skews = [timedelta(), *(ahead for ahead, numbers in self._steps if number > numbers[table])]
        times = [at - skew for skew in skews]
        return max((time for time in times if time <= latest), default=min(times))
