"""Queries of schedules and their fires for the API, the console and commands."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery

from scheduling.exceptions import ScheduleNotFoundError
from scheduling.models import Job, Schedule, ScheduleFire
from scheduling.schedules.recurrence import CronInvalidError, FireTimes, PreviewedRun, ZoneUnknownError, preview_runs
from scheduling.schedules.rules import recurrence_of
from tenants.database.clock import read_clock
from tenants.database.reads import first_or_raise
from tenants.settings.schema import tenant_setting
from tenants.settings.tenancy_settings import TIMEZONE

PREVIEW_COUNT = 10


def find_schedules() -> QuerySet[Schedule]:
    """Return a queryset of the schedules in the current tenant context, newest first.

    ``last_outcome`` is the outcome of each schedule's newest fire.
    """
    newest = ScheduleFire.objects.filter(schedule=OuterRef("pk")).order_by("-id").values("outcome")[:1]
    return Schedule.objects.select_related("tenant", "template").annotate(last_outcome=Subquery(newest)).order_by("-id")


def get_schedule(schedule_id: UUID) -> Schedule:
    """Return a schedule in the current tenant context; raise ScheduleNotFoundError if there is none."""
    return first_or_raise(find_schedules().filter(pk=schedule_id), ScheduleNotFoundError)


def fires_of(schedule: Schedule) -> QuerySet[ScheduleFire]:
    """Return a queryset of a schedule's fires with their jobs, newest first."""
    return ScheduleFire.objects.filter(schedule=schedule).select_related("job", "tenant").order_by("-id")


def origin_of(job: Job) -> ScheduleFire | None:
    """Return the fire of a schedule that submitted a job, or None if no schedule did."""
    rows = ScheduleFire.objects.filter(tenant_id=job.tenant_id, job_id=job.pk)
    return rows.select_related("schedule").first()


def sentence_of(schedule: Schedule) -> str:
    """Return the times of a schedule in English words, or its cron if that, or its zone, is not valid (any more)."""
    try:
        return str(recurrence_of(schedule).words)
    except (CronInvalidError, ZoneUnknownError):
        return schedule.cron


def preview(
    recurrence: FireTimes,
    *,
    count: int = PREVIEW_COUNT,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> list[PreviewedRun]:
    """Return the next ``count`` runs after the database's current time, between ``starts_at`` and ``ends_at``."""
    now = read_clock()
    # The bound is inclusive.
    after = now if starts_at is None or starts_at <= now else starts_at - datetime.resolution
    return preview_runs(recurrence, after=after, count=count, until=ends_at)


def default_zone(tenant_id: UUID) -> str:
    """Return the time zone that a tenant's new schedules have unless they name one."""
    zone: str = tenant_setting(tenant_id, TIMEZONE.key)
    return zone
