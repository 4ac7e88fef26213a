"""From wall-clock times to moments: where the clocks are changed, a time may not exist or come twice.

| policy     | a time that does not exist                | a time that comes twice |
|------------|-------------------------------------------|-------------------------|
| `standard` | as `first`; with a star: not at all       | as `first`; with a star in minute or hour: both |
| `first`    | the first moment after the gap            | the first               |
| `second`   | the first moment after the gap            | the second              |
| `both`     | the first moment after the gap            | both                    |
| `skip`     | not at all                                | the first               |

Several times that fall on one moment are one fire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from heapq import heappop, heappush
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from scheduling.schedules.recurrence.cron import Cron
from tenants.translation import translate

MAX_ZONE_CHARACTERS = 64
# Keys of the tz database that are files and no places.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})


class ZoneUnknownError(ValueError):
    """There is no such time zone in the tz database."""


class DstPolicy(StrEnum):
    """What a schedule does where the clocks are changed; the table above says it."""

    STANDARD = "standard"
    FIRST = "first"
    SECOND = "second"
    BOTH = "both"
    SKIP = "skip"


class Turn(StrEnum):
    """How a fire met a change of the clocks."""

    NONE = ""
    SHIFTED = "shifted"
    FIRST = "first"
    SECOND = "second"


@dataclass(frozen=True, slots=True, order=True)
class Fire:
    """A moment in UTC with the naive wall-clock time that it stands for."""

    at: datetime
    civil: datetime
    turn: Turn = Turn.NONE


def find_zone(name: str) -> ZoneInfo:
    """The zone of an IANA name such as ``Europe/Berlin``, else ZoneUnknownError."""
    is_plain = name.isascii() and 0 < len(name) <= MAX_ZONE_CHARACTERS and name not in _NO_ZONES
    if is_plain and not name.startswith(("right/", "posix/")):
        try:
            return ZoneInfo(name)
        # A folder, a file that is no zone, a path that leads outside.
        except (ZoneInfoNotFoundError, ValueError, OSError):
            is_plain = False
    raise ZoneUnknownError(translate("There is no such time zone; use an IANA name such as Europe/Berlin."))


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A cron in a zone under a policy; the same question always has the same answer."""

    cron: Cron
    zone: ZoneInfo
    policy: DstPolicy = DstPolicy.STANDARD

    def fires_after(self, moment: datetime) -> Iterator[Fire]:
        """All fires strictly after ``moment``, strictly increasing.

        Wall-clock times come in order, their moments need not: the second of two passes waits in a heap until no
        earlier moment can come any more.
        """
        last = moment.astimezone(UTC)
        pending: list[Fire] = []
        for civil in self.cron.times_after(self._civil_before(last)):
            early, late = self._readings(civil)
            # No later time on the clock is shown before this moment for the first time.
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

    def next_after(self, moment: datetime) -> Fire | None:
        """The first fire after ``moment``; None if none comes within 50 years."""
        return next(self.fires_after(moment), None)

    def fires_between(self, after: datetime, until: datetime, limit: int) -> list[Fire]:
        """The first ``limit`` fires with ``after < at <= until``."""
        found = []
        for fire in islice(self.fires_after(after), limit):
            if fire.at > until:
                break
            found.append(fire)
        return found

    def newest_between(self, after: datetime, until: datetime, limit: int) -> tuple[list[Fire], bool]:
        """The last ``limit`` fires with ``after < at <= until``, and whether there are older ones.

        However long ago ``after`` is, only about as many fires are looked at as are asked for.
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

    def _civil_before(self, moment: datetime) -> datetime:
        """The wall-clock time after which every fire after ``moment`` is named."""
        local = moment.astimezone(self.zone)
        # In the first of two passes the times of the whole pass are still to come again.
        passes = local.replace(fold=1).astimezone(UTC) - moment
        return local.replace(tzinfo=None, fold=0) - max(passes, timedelta(0))

    def _readings(self, civil: datetime) -> tuple[datetime, datetime]:
        """The moments that PEP 495's two readings of a wall-clock time name."""
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
            return [Fire(self._change_between(late, early), civil, Turn.SHIFTED)]
        first, second = Fire(early, civil, Turn.FIRST), Fire(late, civil, Turn.SECOND)
        if is_loose or self.policy is DstPolicy.BOTH:
            return [first, second]
        return [second if self.policy is DstPolicy.SECOND else first]

    def _change_between(self, before: datetime, after: datetime) -> datetime:
        """The first moment of the new offset, to the second."""
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
