"""Periodic tasks of django-celery-beat that are jobs: what they submit, when, and what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import CharField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Cast
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from scheduling.celery.publishing import SUBMIT_TASK
from scheduling.schedules.recurrence import (
    Cron,
    CronInvalidError,
    FireTimes,
    Interval,
    Once,
    PreviewedRun,
    Recurrence,
    preview_runs,
)
from tenants.models import AuditLogEntry

AUDIT_TYPE = "django_celery_beat.periodictask"
OUTCOMES = ("beat.submitted", "beat.skipped", "beat.refused")
# Rows that the page of schedules lists; the page of periodic tasks has the others.
SHOWN_ROWS = 25
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class BeatJob:
    """The job that a periodic task submits; ``options`` are further options of the submission, by name."""

    tenant: str
    kind: str
    payload: Any
    options: dict[str, Any]

    def to_kwargs(self) -> str:
        """Return the keyword arguments of the task `scheduling.submit` as JSON."""
        return json.dumps(
            {"tenant": self.tenant, "kind": self.kind, "payload": self.payload, **self.options}, ensure_ascii=False
        )


def read_job(task: PeriodicTask) -> BeatJob | None:
    """Return the job that a periodic task submits; None if it is another task, or its arguments name no job."""
    if task.task != SUBMIT_TASK:
        return None
    try:
        given = json.loads(task.kwargs or "{}")
    except ValueError:
        return None
    if not isinstance(given, dict) or not all(isinstance(given.get(name), str) for name in ("tenant", "kind")):
        return None
    return BeatJob(given.pop("tenant"), given.pop("kind"), given.pop("payload", None) or {}, given)


def cron_of(crontab: CrontabSchedule) -> str | None:
    """Return the five fields of a crontab of beat; None if it restricts day of month and day of week.

    Beat needs both to match, cron one of them.
    """
    if not (crontab.day_of_month.startswith("*") or crontab.day_of_week.startswith("*")):
        return None
    fields = (crontab.minute, crontab.hour, crontab.day_of_month, crontab.month_of_year, crontab.day_of_week)
    return " ".join("".join(field.split()) for field in fields)


def times_of(task: PeriodicTask) -> FireTimes | None:
    """Return the due times of a periodic task, without its bounds; None if cron has none like them.

    Those of an interval follow the last run, which beat stores every few minutes.
    """
    if task.clocked is not None:
        return Once(task.clocked.clocked_time, _UTC)
    if task.interval is not None:
        since = task.last_run_at or task.start_time or task.date_changed or datetime.now(UTC)
        return Interval(max(1, round(task.interval.schedule.run_every.total_seconds())), since, _UTC)
    if task.crontab is None or (expression := cron_of(task.crontab)) is None:
        return None
    try:
        return Recurrence(Cron.parse(expression), ZoneInfo(str(task.crontab.timezone)))
    except CronInvalidError:
        return None  # Celery reads some expressions that cron does not


def next_runs(task: PeriodicTask, now: datetime, count: int) -> list[PreviewedRun]:
    """Return the next runs of a periodic task, at most ``count``; none if it is disabled or its times are unknown."""
    times = times_of(task)
    if times is None or not task.enabled:
        return []
    after = max(now, task.start_time - datetime.resolution) if task.start_time else now
    return preview_runs(times, after=after, count=1 if task.one_off else count, until=task.expires)


def past_runs(task: PeriodicTask, count: int) -> list[AuditLogEntry]:
    """Return the newest audit entries of a periodic task's due times: submitted, skipped or refused."""
    return list(_entries().filter(target_id=str(task.pk)).order_by("-id")[:count])


def find_beat_jobs(tenant_slug: str | None) -> list[tuple[PeriodicTask, BeatJob, AuditLogEntry | None]]:
    """Return the first periodic tasks that are jobs, of one tenant or all, with job and last outcome, by name."""
    newest = _entries().filter(target_id=Cast(OuterRef("pk"), CharField())).order_by("-id").values("id")[:1]
    rows = PeriodicTask.objects.filter(task=SUBMIT_TASK).select_related("interval", "crontab", "solar", "clocked")
    if tenant_slug is not None:
        rows = rows.filter(kwargs__contains=json.dumps(tenant_slug))
    shown = rows.annotate(last_entry=Subquery(newest)).order_by("name")[:SHOWN_ROWS]
    found = [(row, job) for row in shown if (job := read_job(row)) and tenant_slug in (None, job.tenant)]
    entries = AuditLogEntry.objects.in_bulk([row.last_entry for row, _ in found if row.last_entry])
    return [(row, job, entries.get(row.last_entry)) for row, job in found]


def _entries() -> QuerySet[AuditLogEntry]:
    return AuditLogEntry.objects.filter(target_type=AUDIT_TYPE, action__in=OUTCOMES)
