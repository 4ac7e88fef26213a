"""Jobs that an operator schedules in beat's admin: validated when saved, submitted once for each due time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext, gettext_noop
from django_celery_beat.models import PeriodicTask

from scheduling import signals
from scheduling.celery.publishing import is_late
from scheduling.exceptions import (
    MessageLateError,
    OptionInvalidError,
    ScheduleInvalidError,
)
from scheduling.jobs.requests import JobRequest, check_request
from scheduling.jobs.routing.service import Routes
from scheduling.jobs.submission import submit_job
from scheduling.models import Job, Schedule
from scheduling.schedules.beat_jobs import AUDIT_TYPE, BeatJob, times_of
from scheduling.schedules.recurrence import Interval
from scheduling.schedules.rules import EARLIEST
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.locks import LockClass
from tenants.exceptions import DomainError
from tenants.models import AuditLogEntry, Tenant
from tenants.tenancy.queries import find_tenant

TIME_OPTIONS = ("run_at", "deadline")
KEY_OPTIONS = ("fair_key", "concurrency_key", "unique_key", "unique_until")
NUMBER_OPTIONS = ("priority", "max_retries")
OPTIONS = (*TIME_OPTIONS, *NUMBER_OPTIONS, *KEY_OPTIONS, "tags", "queue", "idempotency_key")
# Intervals of due times whose exact times are unknown: a crontab fires at most once a minute, a solar event once a day.
CRONTAB_SECONDS, SOLAR_SECONDS = 60, 86_400
# Messages less than 7 to 8 twelfths of an interval apart are of one due time. Of two beats with any difference, each
# message is within half an interval of one of the other's, and due times of one beat are further apart.
SLOTS_AN_INTERVAL, SLOTS_OF_A_DUE_TIME = 12, 7
# The largest difference of two machines' clocks.
CLOCKS_APART = timedelta(minutes=1)


class PeriodicTaskDisabledError(DomainError):
    code, category = "periodic_task_disabled", "invalid"
    title = gettext_noop("The periodic task has been disabled")


def read_request(kind: str, payload: dict[str, Any], options: dict[str, Any]) -> JobRequest:
    """Return the job request for the arguments of a task in beat's admin; times must be ISO 8601 with a zone.

    Raise OptionInvalidError for an unknown or invalid option.
    """
    if strays := sorted(set(options) - set(OPTIONS)):
        raise OptionInvalidError(
            "%(name)s: there is no such option. Valid options: %(known)s.",
            {"name": strays[0], "known": ", ".join(OPTIONS)},
        )
    for name, value in options.items():
        _check_type(name, value)
    try:
        times = {name: datetime.fromisoformat(options[name]) for name in TIME_OPTIONS if options.get(name)}
        return JobRequest(kind=kind, payload=payload, **options | times)
    except (TypeError, ValueError) as error:
        raise OptionInvalidError(str(error)) from error


def _check_type(name: str, value: object) -> None:
    if name == "tags":
        if not (isinstance(value, list | tuple) and all(isinstance(tag, str) for tag in value)):
            raise OptionInvalidError("%(name)s is not a list of texts.", {"name": name})
    elif name in NUMBER_OPTIONS:
        if not isinstance(value, int | None) or isinstance(value, bool):
            raise OptionInvalidError("%(name)s is not a whole number.", {"name": name})
    elif not isinstance(value, str) and (value is not None or name in KEY_OPTIONS):
        raise OptionInvalidError("%(name)s is missing, or is not text.", {"name": name})


def check_submission(job: BeatJob, *, name: str) -> None:
    """Raise the DomainError that a submission of a periodic task's job would raise now; submit nothing.

    Raise ScheduleInvalidError if a schedule of the tenant has the task's ``name``: it runs the job already.
    """
    tenant, request = find_tenant(job.tenant), read_request(job.kind, job.payload, job.options)
    with tenant_context(tenant):
        if name and Schedule.objects.filter(name=name).exists():
            detail = gettext("A schedule of this name runs the job already. Delete it, or choose another name.")
            raise ScheduleInvalidError(detail, errors=[{"field": "name", "code": "name_taken", "detail": detail}])
        check_request(request, now=read_clock(), plan=tenant.plan)
        Routes.of_tenant(tenant).queue_for(request.kind, request.payload, request.queue)


def submit_beat_task(
    *, task_name: str, tenant: Tenant, request: JobRequest, message_id: str = "", asked_at: float | None = None
) -> UUID:
    """Submit the job that a message of beat requests, and return its id, or that of the job of the same due time.

    ``asked_at`` is the time at which the message was signed. It tells the due time, however many beats send a message
    for it, and a redelivered message keeps it. If the task has no row in beat's tables, the message id is used instead.
    A message of a task that has been disabled since is refused. The audit log records under the task that the job was
    submitted, refused, or skipped because another one has its unique key; a message that is refused as too late is
    recorded once.
    """
    row = PeriodicTask.objects.select_related("interval", "crontab", "clocked").filter(name=task_name).first()
    if row is None or request.idempotency_key is not None:
        _require_in_time(asked_at)
        if request.idempotency_key is None and message_id:
            request = replace(request, idempotency_key=f"beat-message:{message_id}")
        return submit_job(tenant=tenant, request=request).job.pk
    target = AuditTarget(AUDIT_TYPE, str(row.pk), tenant.pk)
    try:
        with tenant_context(tenant):
            _require_in_time(asked_at)
            return _submit_once(row, tenant, request, asked_at, target)
    except DomainError as error:
        reason = f"{error.code}: {error}"
        with tenant_context(tenant):
            # An attacker with access to Redis can send a late message any number of times.
            if not (isinstance(error, MessageLateError) and _is_told(target, reason, asked_at)):
                record_audit(action="beat.refused", target=target, reason=reason)
        raise


def _require_in_time(asked_at: float | None) -> None:
    if asked_at is not None and is_late(asked_at):
        signals.message_refused.send(None, reason="too old")
        raise MessageLateError("It was due at %(time)s.", {"time": f"{datetime.fromtimestamp(asked_at, UTC):%FT%TZ}"})


def _is_told(target: AuditTarget, reason: str, asked_at: float | None) -> bool:
    since = datetime.fromtimestamp(asked_at or 0, UTC) - CLOCKS_APART
    return _entries(target, "beat.refused").filter(reason=reason, id__gte=uuid7_floor(since)).exists()


def _entries(target: AuditTarget, action: str) -> QuerySet[AuditLogEntry]:
    return AuditLogEntry.objects.filter(target_type=target.type, target_id=target.id, action=action)


def _submit_once(
    row: PeriodicTask, tenant: Tenant, request: JobRequest, asked_at: float | None, target: AuditTarget
) -> UUID:
    LockClass.BEAT_TASK.hold(str(row.pk))
    # Beat notices a change only after seconds. It disables by itself a task that runs once.
    if PeriodicTask.objects.filter(pk=row.pk, enabled=False, one_off=False).exists():
        raise PeriodicTaskDisabledError("It was disabled before this due time.")
    keys, since = due_time(row, read_clock() if asked_at is None else datetime.fromtimestamp(asked_at, UTC))
    earlier = Job.objects.filter(idempotency_key__in=keys).first()
    if earlier is not None:
        return earlier.pk
    skips = _entries(target, "beat.skipped").filter(id__gte=uuid7_floor(since), after__key__in=keys)
    if (holder := skips.values_list("after__job", flat=True).first()) is not None:
        # The job that had the unique key may have ended since.
        return UUID(holder)
    done = submit_job(tenant=tenant, request=replace(request, idempotency_key=keys[0]))
    action, more = ("beat.submitted", {"kind": done.job.kind}) if done.created else ("beat.skipped", {"key": keys[0]})
    record_audit(action=action, target=target, after={"job": str(done.job.pk), **more})
    return done.job.pk


def due_time(row: PeriodicTask, asked_at: datetime) -> tuple[list[str], datetime]:
    """Return the idempotency keys of the due time of a message, and a time before all messages of that due time.

    The first key is the message's own; the others may be those of other messages of the same due time. A crontab or a
    single time has its due time as key. Beats with an interval disagree about its due times, so that a message repeats
    those near it, before or after.
    """
    times = times_of(row)
    if times is not None and not isinstance(times, Interval):
        fires, _ = times.newest_between(EARLIEST, asked_at, 1)
        if fires:
            return [f"beat:{row.pk}:{fires[0].at:%FT%TZ}"], fires[0].at - CLOCKS_APART
    seconds = _interval_seconds(row)
    slot = int(asked_at.timestamp() / (seconds / SLOTS_AN_INTERVAL))
    near = [sign * number for number in range(1, SLOTS_OF_A_DUE_TIME + 1) for sign in (-1, 1)]
    return [f"beat:{row.pk}:{slot + number}" for number in (0, *near)], asked_at - timedelta(
        seconds=seconds
    ) - CLOCKS_APART


def _interval_seconds(row: PeriodicTask) -> float:
    if row.interval is None:
        return SOLAR_SECONDS if row.solar_id is not None else CRONTAB_SECONDS
    return max(float(row.interval.schedule.run_every.total_seconds()), 0.001)
