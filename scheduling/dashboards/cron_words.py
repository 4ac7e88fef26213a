"""A cron in the reader's language: in English as its own grammar tells it, else field by field."""

from __future__ import annotations

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from scheduling.recurrence import Cron, CronInvalidError


def told_cron(cron: Cron) -> str:
    """When it fires, such as `At 02:30 every day`."""
    if (get_language() or "en").startswith("en"):
        return cron.words
    minute, hour, day, month, weekday = cron.expression.split()
    parts = [_("in the months %(months)s") % {"months": month}] if month != "*" else []
    return " ".join([*parts, _days(day, weekday), _times(minute, hour)])


def told_expression(expression: str) -> str:
    """The same of a text; as it is written where it cannot be read any more."""
    try:
        return told_cron(Cron.parse(expression))
    except CronInvalidError:
        return expression


def _days(day: str, weekday: str) -> str:
    if day == weekday == "*":
        return _("every day")
    of_month = _("on the days %(days)s of the month") % {"days": day}
    of_week = _("on the days %(days)s of the week, 0 being Sunday") % {"days": weekday}
    if "*" in (day, weekday):
        return of_week if day == "*" else of_month
    return _("%(one)s or %(other)s") % {"one": of_month, "other": of_week}


def _times(minute: str, hour: str) -> str:
    if minute.isdigit() and hour.isdigit():
        return _("at %(time)s") % {"time": f"{int(hour):02}:{int(minute):02}"}
    if hour == "*" and minute == "*":
        return _("each minute")
    if hour == "*":
        return _("in the minutes %(minutes)s of each hour") % {"minutes": minute}
    return _("in the minutes %(minutes)s of the hours %(hours)s") % {"minutes": minute, "hours": hour}
