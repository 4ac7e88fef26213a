"""Conversion of wall-clock times to moments in UTC: when clocks change, a time may not exist or occur twice.

| policy     | a time that does not exist                | a time that occurs twice |
|------------|-------------------------------------------|-------------------------|
| `standard` | as `first`; with a star: not at all       | as `first`; with a star in minute or hour: both |
| `first`    | the first moment after the gap            | the first               |
| `second`   | the first moment after the gap            | the second              |
| `both`     | the first moment after the gap            | both                    |
| `skip`     | not at all                                | the first               |

If several wall-clock times give the same moment, they are one fire.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from heapq import heappop, heappush
from itertools import count, islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from scheduling.schedules.recurrence.cron import Cron, words_of_interval
from tenants.translation import LocalizableText, translate

MAX_ZONE_CHARACTERS = 64
# Keys of the tz database that are files, not places.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})


class ZoneUnknownError(ValueError):
    """The tz database has no time zone of this name."""


class DstPolicy(StrEnum):
    """What to do with times that a clock change skips or repeats; see the table of this module."""

    STANDARD = "standard"
    FIRST = "first"
    SECOND = "second"
    BOTH = "both"
    SKIP = "skip"


class ClockChange(StrEnum):
    """How a clock change affected a fire: moved it, or made it the first or second of two."""

    NONE = ""
    SHIFTED = "shifted"
    FIRST = "first"
    SECOND = "second"


@dataclass(frozen=True, slots=True, order=True)
class Fire:
    """Moment in UTC at which a schedule fires, with the naive wall-clock time (``civil``) that it stands for."""

    at: datetime
    civil: datetime
    turn: ClockChange = ClockChange.NONE


def find_zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name such as ``Europe/Berlin``; raise ZoneUnknownError if there is none."""
    is_plain = name.isascii() and 0 < len(name) <= MAX_ZONE_CHARACTERS and name not in _NO_ZONES
    if is_plain and not name.startswith(("right/", "posix/")):
        try:
            return ZoneInfo(name)
        # A folder, a file that is no zone, or a path outside the database.
        except (ZoneInfoNotFoundError, ValueError, OSError):
            is_plain = False
    raise ZoneUnknownError(translate("There is no such time zone; use an IANA name such as Europe/Berlin."))


@cache
def zone_names() -> list[str]:
    """Return the names of the places of the tz database, and UTC."""
    return ["UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))]


class FireTimes(ABC):
    """Times at which something fires, in a time zone; all methods compute from fields alone."""

    zone: ZoneInfo

    @abstractmethod
    def fires_after(self, moment: datetime) -> Iterator[Fire]:
        """Yield all fires after ``moment``, in strictly increasing order."""

    @property
    @abstractmethod
    def words(self) -> LocalizableText:
        """Return the times in words."""

    @abstractmethod
    def least_interval_seconds(self) -> int | None:
        """Return the shortest time between two fires in seconds; None if there is only one."""

    def next_after(self, moment: datetime) -> Fire | None:
        """Return the first fire after ``moment``, or None if there is none within 50 years."""
        return next(self.fires_after(moment), None)

    def fires_between(self, after: datetime, until: datetime, limit: int) -> list[Fire]:
        """Return the first ``limit`` fires with ``after < at <= until``."""
        found = []
        for fire in islice(self.fires_after(after), limit):
            if fire.at > until:
                break
            found.append(fire)
        return found

    def newest_between(self, after: datetime, until: datetime, limit: int) -> tuple[list[Fire], bool]:
        """Return the last ``limit`` fires with ``after < at <= until``, and whether there are older ones.

        It searches backwards from ``until``, so a distant ``after`` does not make it slow.
        """
        span = timedelta(hours=1)
        while True:
            since = max(after, until - span)
            found = []
            for fire in self.fires_after(since):
                if fire.at > until:
                    break
                found.append(fire)
            if len(found) > limit or since == after:
                return found[-limit:], len(found) > limit
            span *= 2

    def _at(self, moment: datetime) -> Fire:
        return Fire(moment, moment.astimezone(self.zone).replace(tzinfo=None))


@dataclass(frozen=True)
class Once(FireTimes):
    """A single time."""

    moment: datetime
    zone: ZoneInfo

    def fires_after(self, moment: datetime) -> Iterator[Fire]:
        if self.moment > moment:
            yield self._at(self.moment.astimezone(UTC))

    @property
    def words(self) -> LocalizableText:
        return LocalizableText("Once at %(time)s", {"time": f"{self.moment.astimezone(self.zone):%Y-%m-%d %H:%M}"})

    def least_interval_seconds(self) -> None:
        return None


@dataclass(frozen=True)
class Interval(FireTimes):
    """Times that are ``seconds`` apart, before and after ``start``; changes of clocks do not move them."""

    seconds: int
    start: datetime
    zone: ZoneInfo

    def fires_after(self, moment: datetime) -> Iterator[Fire]:
        step = timedelta(seconds=self.seconds)
        try:
            for number in count((moment - self.start) // step + 1):
                yield self._at(self.start.astimezone(UTC) + number * step)
        except OverflowError:
            return  # the year 10000

    @property
    def words(self) -> LocalizableText:
        return words_of_interval(self.seconds)

    def least_interval_seconds(self) -> int:
        return self.seconds


@dataclass(frozen=True)
class Recurrence(FireTimes):
    """Cron in a time zone with a policy for clock changes."""

    cron: Cron
    zone: ZoneInfo
    policy: DstPolicy = DstPolicy.STANDARD

    @property
    def words(self) -> LocalizableText:
        return LocalizableText(self.cron.words)

    def least_interval_seconds(self) -> int:
        return self.cron.least_interval_seconds()

    def fires_after(self, moment: datetime) -> Iterator[Fire]:
        """Yield all fires after ``moment``, in strictly increasing order.

        Wall-clock times increase, but their moments may not: the second occurrence of a repeated time is kept in a heap
        until no earlier moment can follow.
        """
        last = moment.astimezone(UTC)
        pending: list[Fire] = []
        for civil in self.cron.times_after(self._civil_before(last)):
            early, late = self._readings(civil)
            # No later wall-clock time occurs first before this moment.
            while pending and pending[0].at < min(early, late):
                if (fire := heappop(pending)).at > last:
                    last = fire.at
                    yield fire
            for fire in self._fires_at(civil, early, late):
                heappush(pending, fire)
        while pending:
            if (fire := heappop(pending)).at > last:
                last = fire.at
                yield fire

    def _civil_before(self, moment: datetime) -> datetime:
        """Return a wall-clock time that is earlier than that of every fire after ``moment``."""
        local = moment.astimezone(self.zone)
        # In the first occurrence of a repeated hour, all its times are still to come again.
        passes = local.replace(fold=1).astimezone(UTC) - moment
        return local.replace(tzinfo=None, fold=0) - max(passes, timedelta(0))

    def _readings(self, civil: datetime) -> tuple[datetime, datetime]:
        """Return the moments of a wall-clock time for ``fold=0`` and ``fold=1`` (PEP 495)."""
        return (
            civil.replace(tzinfo=self.zone, fold=0).astimezone(UTC),
            civil.replace(tzinfo=self.zone, fold=1).astimezone(UTC),
        )

    def _fires_at(self, civil: datetime, early: datetime, late: datetime) -> list[Fire]:
        if early == late:
            return [Fire(early, civil)]
        is_loose = self.policy is DstPolicy.STANDARD and self.cron.is_wildcard
        if early > late:
            if is_loose or self.policy is DstPolicy.SKIP:
                return []
            return [Fire(self._change_between(late, early), civil, ClockChange.SHIFTED)]
        first, second = Fire(early, civil, ClockChange.FIRST), Fire(late, civil, ClockChange.SECOND)
        if is_loose or self.policy is DstPolicy.BOTH:
            return [first, second]
        return [second if self.policy is DstPolicy.SECOND else first]

    def _change_between(self, before: datetime, after: datetime) -> datetime:
        """Return the first moment, to the second, at which the zone's offset differs from that at ``before``."""
        offset = before.astimezone(self.zone).utcoffset()
        low, high = 0, int((after - before).total_seconds())
        while high - low > 1:
            middle = (low + high) // 2
            moment = before + timedelta(seconds=middle)
            if moment.astimezone(self.zone).utcoffset() == offset:
                low = middle
            else:
                high = middle
        return before + timedelta(seconds=high)
