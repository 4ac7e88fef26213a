"""Reads of schedules and their fires for the API, the console and commands."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery

from scheduling.exceptions import ScheduleNotFoundError
from scheduling.models import Job, Schedule, ScheduleFire
from scheduling.schedules.recurrence import Cron, CronInvalidError, PreviewedRun, Recurrence, preview_runs
from tenants.database.clock import read_clock
from tenants.models import AuditLogEntry
from tenants.settings.schema import tenant_setting
from tenants.settings.tenancy_settings import TIMEZONE

PREVIEW_COUNT = 10


def find_schedules() -> QuerySet[Schedule]:
    """Return the schedules of the current scope with the outcome of their newest fires, newest first."""
    newest = ScheduleFire.objects.filter(schedule=OuterRef("pk")).order_by("-id").values("outcome")[:1]
    return Schedule.objects.select_related("tenant").annotate(last_outcome=Subquery(newest)).order_by("-id")


def get_schedule(schedule_id: UUID) -> Schedule:
    """Return a schedule of the scope; raise ScheduleNotFoundError if there is none."""
    schedule = find_schedules().filter(pk=schedule_id).first()
    if schedule is None:
        raise ScheduleNotFoundError
    return schedule


def fires_of(schedule: Schedule) -> QuerySet[ScheduleFire]:
    """Return the fires of a schedule with their jobs, newest first."""
    return ScheduleFire.objects.filter(schedule=schedule).select_related("job", "tenant").order_by("-id")


def origin_of(job: Job) -> ScheduleFire | None:
    """Return the fire that submitted a job, or None."""
    rows = ScheduleFire.objects.filter(tenant_id=job.tenant_id, job_id=job.pk)
    return rows.select_related("schedule").first()


def cron_sentence(expression: str) -> str:
    """Return a cron in English, or unchanged if it is not valid any more."""
    try:
        return Cron.parse(expression).words
    except CronInvalidError:
        return expression


def preview(
    recurrence: Recurrence,
    *,
    count: int = PREVIEW_COUNT,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> list[PreviewedRun]:
    """Return the next runs by the database's clock, within the given bounds."""
    now = read_clock()
    # The bound is inclusive.
    after = now if starts_at is None or starts_at <= now else starts_at - datetime.resolution
    return preview_runs(recurrence, after=after, count=count, until=ends_at)


def default_zone(tenant_id: UUID) -> str:
    """Return the default time zone of a tenant's new schedules."""
    zone: str = tenant_setting(tenant_id, TIMEZONE.key)
    return zone


def last_submission(beat_task_id: int) -> AuditLogEntry | None:
    """Return the audit entry of the last due time of an operator's task in beat's admin, or None."""
    entries = AuditLogEntry.objects.filter(target_type="django_celery_beat.periodictask", target_id=str(beat_task_id))
    return entries.filter(action__in=("beat.submitted", "beat.refused")).order_by("-id").first()
