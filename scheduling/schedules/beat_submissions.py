"""Jobs that an operator schedules in beat's admin: validated when saved, submitted once for each due time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduling import signals
from scheduling.celery.publishing import is_late
from scheduling.exceptions import MessageLateError, OptionInvalidError
from scheduling.jobs.requests import JobRequest, check_request
from scheduling.jobs.routing.service import Routes
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.locks import LockClass
from tenants.exceptions import DomainError
from tenants.models import AuditLogEntry, Tenant
from tenants.tenancy.queries import find_tenant

TIME_OPTIONS = ("run_at", "deadline")
KEY_OPTIONS = ("fair_key", "concurrency_key", "unique_key", "unique_until")
NUMBER_OPTIONS = ("priority", "max_retries")
OPTIONS = (*TIME_OPTIONS, *NUMBER_OPTIONS, *KEY_OPTIONS, "tags", "queue", "idempotency_key")
AUDIT_TYPE = "django_celery_beat.periodictask"
# A crontab fires at most once a minute.
CRONTAB_SECONDS = 60
# Two messages of one due time come within a third of the interval, two due times more than two thirds apart.
SLOTS_AN_INTERVAL = 3


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


def check_submission(kwargs: Any) -> None:
    """Raise the DomainError that a submission with these keyword arguments would raise now; submit nothing."""
    tenant, request = _read(kwargs)
    with tenant_context(tenant):
        check_request(request, now=read_clock(), plan=tenant.plan)
        Routes.load(tenant.plan.tier_id).queue_for(request.kind, request.payload, request.queue)


def submit_beat_task(
    *, task_name: str, tenant: Tenant, request: JobRequest, message_id: str = "", asked_at: float | None = None
) -> UUID:
    """Submit the job that a message of beat requests, and return its id, or that of the job of the same due time.

    ``asked_at`` is the time at which the message was signed. It tells repetitions apart from new due times: two beats
    send two messages for each due time within moments, and a redelivered message keeps its time. If the task has no row
    in beat's tables, the message id is used instead. The audit log records under the task that the job was submitted,
    refused, or skipped because another one has its unique key; a message that is refused as too late is recorded once.
    """
    row = PeriodicTask.objects.select_related("interval").filter(name=task_name).first()
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
            if not (isinstance(error, MessageLateError) and _is_told(target, reason)):
                record_audit(action="beat.refused", target=target, reason=reason)
        raise


def _require_in_time(asked_at: float | None) -> None:
    if asked_at is not None and is_late(asked_at):
        signals.message_refused.send(None, reason="too old")
        raise MessageLateError("It was due at %(time)s.", {"time": f"{datetime.fromtimestamp(asked_at, UTC):%FT%TZ}"})


def _is_told(target: AuditTarget, reason: str) -> bool:
    return _entries(target, "beat.refused").filter(reason=reason).exists()


def _entries(target: AuditTarget, action: str) -> QuerySet[AuditLogEntry]:
    return AuditLogEntry.objects.filter(target_type=target.type, target_id=target.id, action=action)


def _submit_once(
    row: PeriodicTask, tenant: Tenant, request: JobRequest, asked_at: float | None, target: AuditTarget
) -> UUID:
    LockClass.BEAT_TASK.hold(str(row.pk))
    now = read_clock().timestamp()
    slot = int((now if asked_at is None else asked_at) / (_interval_seconds(row) / SLOTS_AN_INTERVAL))
    keys = [f"beat:{row.pk}:{number}" for number in (slot, slot - 1)]
    earlier = Job.objects.filter(idempotency_key__in=keys).first()
    if earlier is not None:
        return earlier.pk
    skips = _entries(target, "beat.skipped").filter(after__slot__in=(slot, slot - 1))
    if (holder := skips.values_list("after__job", flat=True).first()) is not None:
        # The job that had the unique key may have ended since.
        return UUID(holder)
    done = submit_job(tenant=tenant, request=replace(request, idempotency_key=keys[0]))
    action, more = ("beat.submitted", {"kind": done.job.kind}) if done.created else ("beat.skipped", {"slot": slot})
    record_audit(action=action, target=target, after={"job": str(done.job.pk), **more})
    return done.job.pk


def _interval_seconds(row: PeriodicTask) -> float:
    interval: IntervalSchedule | None = row.interval
    if interval is None:
        return CRONTAB_SECONDS
    return max(float(interval.schedule.run_every.total_seconds()), 0.001)


def _read(kwargs: Any) -> tuple[Tenant, JobRequest]:
    if not isinstance(kwargs, Mapping):
        raise OptionInvalidError("The keyword arguments must be a JSON object.")
    given = dict(kwargs)
    missing = [name for name in ("tenant", "kind") if not isinstance(given.get(name), str)]
    if missing:
        raise OptionInvalidError("%(name)s is missing, or is not text.", {"name": missing[0]})
    payload = given.pop("payload", None) or {}
    if not isinstance(payload, dict):
        raise OptionInvalidError("payload must be a JSON object.")
    tenant = find_tenant(given.pop("tenant"))
    return tenant, read_request(given.pop("kind"), payload, given)
