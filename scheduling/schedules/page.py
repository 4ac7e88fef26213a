"""Parts of the console pages of schedules: cron in words, next runs, outcomes of fires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from scheduling.models import Schedule
from scheduling.schedules.queries import preview
from scheduling.schedules.recurrence import Cron, CronInvalidError, PreviewedRun, ZoneUnknownError
from scheduling.schedules.rules import read_timing, recurrence_of
from tenants.exceptions import DomainError


def describe_cron(cron: Cron) -> str:
    """Return a cron in words of the active language, such as `At 02:30 every day`."""
    if (get_language() or "en").startswith("en"):
        return cron.words
    minute, hour, day, month, weekday = cron.expression.split()
    parts = [_("in the months %(months)s") % {"months": month}] if month != "*" else []
    return " ".join([*parts, _days(day, weekday), _times(minute, hour)])


def describe_expression(expression: str) -> str:
    """Return a cron expression in words, or unchanged if it is not valid (any more)."""
    try:
        return describe_cron(Cron.parse(expression))
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


PREVIEW_TEMPLATE = "scheduling/dashboards/parts/schedule_runs.html"
TIMING_NAMES = ("cron", "timezone", "dst_policy")


def draw_runs(schedule: Schedule) -> list[PreviewedRun]:
    """Return the next ten runs of a saved schedule; an empty list if it is paused or invalid."""
    if not schedule.is_enabled:
        return []
    try:
        recurrence = recurrence_of(schedule)
    except (CronInvalidError, ZoneUnknownError):
        return []
    return preview(recurrence, starts_at=schedule.starts_at, ends_at=schedule.ends_at)


def draw_preview(posted: Mapping[str, Any], request: HttpRequest) -> str:
    """Return HTML with the next ten runs for the values of a form, or with their errors."""
    values = {name: str(posted.get(name) or "")[:300] for name in TIMING_NAMES}
    context: dict[str, Any]
    try:
        timing = read_timing(values)
    except DomainError as refusal:
        context = {"faults": refusal.errors if values["cron"] else []}
    else:
        context = {"words": describe_cron(timing.recurrence.cron), "runs": preview(timing.recurrence)}
        context["zone"] = timing.recurrence.zone.key
    return render_to_string(PREVIEW_TEMPLATE, context, request)
