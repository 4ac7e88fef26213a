"""When rows were written, though the clock that dates them was set meanwhile, ahead or back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

# By table, the last number that it had given.
type Numbers = Mapping[str, int]
# A row may be numbered a moment before it is dated.
_SLACK = timedelta(milliseconds=500)


class Timeline:
    """The steps of the database's clock, and when which numbers had been given by this machine's clock.

    Rows are numbered as they are written, so their numbers tell which of two times that a date may mean is right.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[timedelta, Numbers]] = []
        self._looks: list[tuple[datetime, Numbers]] = []

    def step(self, ahead: timedelta, numbers: Numbers) -> None:
        """Note that the clock is about to be so much ahead of this machine's."""
        self._steps.append((ahead, numbers))

    def look(self, at: datetime, numbers: Numbers) -> None:
        """Note that these numbers had been given by a time of this machine's."""
        self._looks.append((at, numbers))

    def true_time(self, at: datetime, table: str, number: int) -> datetime:
        """The date that a row would bear if the clock were right: the latest at which it can have been written."""
        known = (look for look, numbers in self._looks if number <= numbers[table])
        latest = min(known, default=datetime.now(UTC)) + _SLACK
        skews = [timedelta(), *(ahead for ahead, numbers in self._steps if number > numbers[table])]
        times = [at - skew for skew in skews]
        return max((time for time in times if time <= latest), default=min(times))
