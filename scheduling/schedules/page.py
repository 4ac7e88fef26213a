"""Parts of the console pages of schedules: times in words, presets, next runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django_celery_beat.models import PeriodicTask

from scheduling.models import Schedule
from scheduling.schedules.beat_jobs import find_beat_jobs, next_runs, times_of
from scheduling.schedules.forms import TimingForm
from scheduling.schedules.queries import preview
from scheduling.schedules.recurrence import (
    Cron,
    CronInvalidError,
    FireTimes,
    PreviewedRun,
    Recurrence,
    ZoneUnknownError,
)
from scheduling.schedules.rules import WAYS, read_timing, recurrence_of
from tenants.database.clock import read_clock
from tenants.exceptions import DomainError

MAX_OFFERED_CHARACTERS = 4_000
MAX_KIND_CHARACTERS = 100


def describe_times(times: FireTimes) -> str:
    """Return times in words of the active language."""
    return describe_cron(times.cron) if isinstance(times, Recurrence) else times.words.localized


def describe_task(task: PeriodicTask) -> str:
    """Return the times of a periodic task in words, or as beat writes them if there are no words for them."""
    times = times_of(task)
    return str(task.scheduler) if times is None else describe_times(times)


def offered_job(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the kind and the payload that a link to the form of a new schedule offers in its query."""
    try:
        payload = json.loads(query.get("payload", "{}")[:MAX_OFFERED_CHARACTERS])
    except (ValueError, RecursionError):
        payload = None
    offered = {"kind": query.get("kind", "")[:MAX_KIND_CHARACTERS]}
    return offered | {"payload": payload} if isinstance(payload, dict) and offered["kind"] else {}


def beat_rows(tenant_slug: str | None) -> list[dict[str, Any]]:
    """Return the lines of the first periodic tasks that are jobs, of one tenant or all."""
    now = read_clock()
    return [
        {"task": task, "job": job, "when": describe_task(task), "runs": next_runs(task, now, 1), "entry": entry}
        for task, job, entry in find_beat_jobs(tenant_slug)
    ]


def describe_cron(cron: Cron) -> str:
    """Return a cron in words of the active language, such as `At 02:30 every day`."""
    if cron.pace is not None:
        return cron.pace.localized
    if (get_language() or "en").startswith("en"):
        return cron.words
    minute, hour, day, month, weekday = cron.expression.split()
    parts = [_("in the months %(months)s") % {"months": month}] if month != "*" else []
    return " ".join([*parts, _days(day, weekday), _times(minute, hour)])


def describe_schedule(schedule: Schedule) -> str:
    """Return the times of a schedule in words, or its cron if that, or its zone, is not valid (any more)."""
    try:
        return describe_times(recurrence_of(schedule))
    except (CronInvalidError, ZoneUnknownError):
        return schedule.cron


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
    form = TimingForm(posted)
    context: dict[str, Any]
    if not form.is_valid():
        context = {"faults": [{"field": name, "detail": found[0]} for name, found in form.errors.items()]}
    elif not any(form.cleaned_data[name] for name in WAYS):
        context = {}
    else:
        try:
            timing = read_timing(form.cleaned_data, now=read_clock())
            times = timing.recurrence
            runs = preview(times, starts_at=timing.starts_at, ends_at=timing.ends_at)
            context = {"words": describe_times(times), "runs": runs, "zone": times.zone.key}
        except DomainError as refusal:
            context = {"faults": refusal.errors}
    return render_to_string(PREVIEW_TEMPLATE, context, request)
