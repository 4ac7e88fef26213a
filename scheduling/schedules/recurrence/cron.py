"""Parser of cron expressions with five fields, in the syntax of cronsim (Debian's rules), with `L`, `LW` and `#`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

from cronsim import CronSim, CronSimError

from tenants.translation import LocalizableText, translate

MAX_CRON_CHARACTERS = 200
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# ASCII only: other alphabets have digits too.
_WRITTEN = re.compile(r"[0-9A-Za-z*,/#\- \t]+")
# Fixed start for the evaluation of expressions; naive, because wall-clock time has no zone.
_ORIGIN = datetime(2024, 1, 1)  # noqa: DTZ001
_MINUTES_A_DAY = 24 * 60
_PACES = (
    (86_400, LocalizableText("Every day"), LocalizableText("Every %(count)s days")),
    (3_600, LocalizableText("Every hour"), LocalizableText("Every %(count)s hours")),
    (60, LocalizableText("Every minute"), LocalizableText("Every %(count)s minutes")),
    (1, LocalizableText("Every second"), LocalizableText("Every %(count)s seconds")),
)
# The weekdays of leap days repeat after 28 years (40 around a skipped leap year).
_HORIZON_DAYS = 41 * 366


class CronInvalidError(ValueError):
    """The expression is not a cron of five fields, or it matches no day that exists, such as 30 February."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A valid cron expression in normalized spelling; build it with :meth:`parse`."""

    expression: str

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Return ``text``, five fields or an alias, as a cron in normalized spelling.

        Raise CronInvalidError if it is invalid.
        """
        if len(text) > MAX_CRON_CHARACTERS:
            raise CronInvalidError(
                translate("A cron expression has at most %(limit)s characters.", {"limit": MAX_CRON_CHARACTERS})
            )
        text = ALIASES.get(text.strip().lower(), text)
        if text.strip().startswith("@"):
            raise CronInvalidError(
                translate("There is no such alias. The aliases are %(known)s.", {"known": ", ".join(ALIASES)})
            )
        fields = text.upper().split()
        if len(fields) != 5:
            raise CronInvalidError(
                translate(
                    "The expression must have five fields (minute, hour, day of month, month, day of "
                    "week), not %(count)s.",
                    {"count": len(fields)},
                )
            )
        if not _WRITTEN.fullmatch(text):
            raise CronInvalidError(translate("Use only digits, names of months and days, and the signs * , - / #."))
        cron = cls(" ".join(fields))
        try:
            is_ever = next(cron.times_after(_ORIGIN), None) is not None
        except (CronSimError, AssertionError) as error:
            # cronsim rejects 30 February by its day; the other fields show whether that is the only fault.
            if not _is_readable(*fields):
                raise CronInvalidError(
                    f"{error}." if str(error) else translate("It is not a valid cron expression.")
                ) from error
            is_ever = False
        if not is_ever:
            raise CronInvalidError(translate("It never fires: it matches no day within 50 years."))
        return cron

    @property
    def is_wildcard(self) -> bool:
        """Return whether the minute or hour begins with `*`: such a job repeats at an interval, not at fixed times."""
        minute, hour, *_ = self.expression.split()
        return minute.startswith("*") or hour.startswith("*")

    @property
    def words(self) -> str:
        """Return the expression in English words."""
        return str(self.pace or _simulator(self.expression).explain())

    @property
    def pace(self) -> LocalizableText | None:
        """Return the interval of its times, "Every 5 minutes"; None if they are not equally far apart."""
        minutes = _minutes_of(_simulator(self.expression))
        step = self.least_interval_seconds() // 60
        is_even = minutes == list(range(0, _MINUTES_A_DAY, step)) and step < _MINUTES_A_DAY
        return words_of_interval(step * 60) if is_even and self.expression.split()[2:] == ["*"] * 3 else None

    def times_after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the matching wall-clock times after a naive ``moment``; stop if 50 years contain no match."""
        return iter(CronSim(self.expression, moment))

    def least_interval_seconds(self) -> int:
        """Return the shortest time between two matches in seconds, without regard to clock changes."""
        return _least_interval_seconds(self.expression)


def words_of_interval(seconds: int) -> LocalizableText:
    """Return "Every 90 minutes" and the like, in the largest unit that divides the interval."""
    length, one, many = next(pace for pace in _PACES if seconds % pace[0] == 0)
    return one if seconds == length else replace(many, values={"count": seconds // length})


def _is_readable(minute: str, hour: str, day: str, month: str, weekday: str) -> bool:
    """Return whether each field is well formed, even if no day matches all of them."""
    try:
        _simulator(f"{minute} {hour} {day} * {weekday}")
        _simulator(f"{minute} {hour} * {month} {weekday}")
    except (CronSimError, AssertionError):
        return False
    return True


def _simulator(expression: str) -> CronSim:
    return CronSim(expression, _ORIGIN)


@lru_cache(maxsize=512)
def _least_interval_seconds(expression: str) -> int:
    simulator = _simulator(expression)
    minutes = _minutes_of(simulator)
    within_day = min((later - earlier for earlier, later in pairwise(minutes)), default=None)
    over_night = _MINUTES_A_DAY - minutes[-1] + minutes[0]
    if within_day is not None and within_day <= over_night:
        return within_day * 60
    days = _least_days(simulator)
    between_days = None if days is None else (days - 1) * _MINUTES_A_DAY + over_night
    return min(gap for gap in (within_day, between_days, _HORIZON_DAYS * _MINUTES_A_DAY) if gap is not None) * 60


def _minutes_of(simulator: CronSim) -> list[int]:
    """Return the minutes of a day at which the expression matches, in order."""
    return sorted(hour * 60 + minute for hour in simulator.hours for minute in simulator.minutes)


def _least_days(simulator: CronSim) -> int | None:
    """Return the least number of days between two matching days, or None if there is only one."""
    least: int | None = None
    last: date | None = None
    day = _ORIGIN.date()
    for _ in range(_HORIZON_DAYS):
        if day.month in simulator.months and simulator.match_day(day):
            if last is not None:
                gap = (day - last).days
                least = gap if least is None else min(least, gap)
            if least == 1:
                break
            last = day
        day += timedelta(days=1)
    return least
