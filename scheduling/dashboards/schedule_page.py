"""What the pages of schedules draw: the next runs, and the outcomes of fires as badges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string

from scheduling.dashboards.cron_words import told_cron
from scheduling.models import Schedule
from scheduling.recurrence import CronInvalidError, PreviewedRun, ZoneUnknownError
from scheduling.selectors.schedules import preview
from scheduling.services.schedules.rules import read_timing, recurrence_of
from tenants.exceptions import DomainError

PREVIEW_TEMPLATE = "scheduling/dashboards/parts/schedule_runs.html"
TIMING_NAMES = ("cron", "timezone", "dst_policy")


def draw_runs(schedule: Schedule) -> list[PreviewedRun]:
    """The next runs of a schedule as it is saved; none where it is paused or cannot be read."""
    if not schedule.is_enabled:
        return []
    try:
        recurrence = recurrence_of(schedule)
    except (CronInvalidError, ZoneUnknownError):
        return []
    return preview(recurrence, starts_at=schedule.starts_at, ends_at=schedule.ends_at)


def draw_preview(posted: Mapping[str, Any], request: HttpRequest) -> str:
    """The next ten runs of what somebody is writing, or what is wrong with it."""
    values = {name: str(posted.get(name) or "")[:300] for name in TIMING_NAMES}
    context: dict[str, Any]
    try:
        timing = read_timing(values)
    except DomainError as refusal:
        context = {"faults": refusal.errors if values["cron"] else []}
    else:
        context = {"words": told_cron(timing.recurrence.cron), "runs": preview(timing.recurrence)}
        context["zone"] = timing.recurrence.zone.key
    return render_to_string(PREVIEW_TEMPLATE, context, request)
