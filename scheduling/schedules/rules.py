"""Validation of schedules, and what is derived from a schedule: its recurrence, next time and job request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.translation import gettext

from scheduling.exceptions import (
    KindInternalError,
    KindUnknownError,
    OptionInvalidError,
    PayloadInvalidError,
    PriorityNotAllowedError,
    QueueNotAllowedError,
    RetriesNotAllowedError,
    ScheduleInvalidError,
)
from scheduling.jobs.job_templates.exceptions import ParametersInvalidError
from scheduling.jobs.job_templates.service import request_by
from scheduling.jobs.requests import JobRequest, check_request
from scheduling.jobs.routing.service import Routes
from scheduling.limits.declared import SCHEDULE_INTERVAL
from scheduling.models import Schedule
from scheduling.schedules.models import MAX_INTERVAL_SECONDS, MAX_JITTER_SECONDS
from scheduling.schedules.recurrence import (
    Cron,
    CronInvalidError,
    DstPolicy,
    Fire,
    FireTimes,
    Interval,
    Once,
    Recurrence,
    ZoneUnknownError,
    find_zone,
    jitter_seconds,
)
from tenants.exceptions import DomainError, FieldInvalidError, TenantNotFoundError
from tenants.limits.usage import allowed_for
from tenants.models import Tenant
from tenants.secrets.references import has_references
from tenants.secrets.service import require_use_of_secrets
from tenants.tenancy.bases import clean_name

KEY_FIELDS = ("fair_key", "concurrency_key", "unique_key", "unique_until")
# A schedule has one of these; the others are empty.
WAYS: Mapping[str, Any] = {"cron": "", "interval_seconds": None, "once_at": None}
# Fields that decide when a schedule fires; other changes keep its next time.
TIMING_FIELDS = (*WAYS, "timezone", "dst_policy", "starts_at", "ends_at")
MAX_NAME_CHARACTERS = 100
# Bounds of starts_at and ends_at, beyond which calendars are unreliable.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)
_FIELD_OF_ERROR: tuple[tuple[type[DomainError], str], ...] = (
    (TenantNotFoundError, "tenant"),
    (KindUnknownError, "kind"),
    (KindInternalError, "kind"),
    (PriorityNotAllowedError, "priority"),
    (QueueNotAllowedError, "queue"),
    (RetriesNotAllowedError, "max_retries"),
)


def recurrence_of(schedule: Schedule) -> FireTimes:
    """Return the times of a schedule.

    Raise CronInvalidError or ZoneUnknownError if its cron or zone is not valid any more.
    """
    zone = find_zone(schedule.timezone)
    if schedule.once_at is not None:
        return Once(schedule.once_at, zone)
    if schedule.interval_seconds:
        return Interval(schedule.interval_seconds, schedule.starts_at or EARLIEST, zone)
    return Recurrence(Cron.parse(schedule.cron), zone, DstPolicy(schedule.dst_policy))


def complete_timing(schedule: Schedule, values: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """Return changes of a schedule with what they imply.

    If they give one way of timing, they empty the others. An interval without a start begins one interval from now.
    """
    given = [name for name in WAYS if values.get(name)]
    if len(given) == 1:
        values = {**values, **WAYS, given[0]: values[given[0]]}
    seconds = values.get("interval_seconds", schedule.interval_seconds)
    if seconds and values.get("starts_at", schedule.starts_at) is None:
        values = {**values, "starts_at": now.replace(microsecond=0) + timedelta(seconds=seconds)}
    return values


def next_fire(schedule: Schedule, recurrence: FireTimes, *, after: datetime) -> Fire | None:
    """Return the schedule's first fire after a moment, between its start and end times, or None if there is none."""
    if schedule.starts_at is not None:
        after = max(after, schedule.starts_at - _MOMENT)
    fire = recurrence.next_after(after)
    if fire is None or (schedule.ends_at is not None and fire.at > schedule.ends_at):
        return None
    return fire


def request_of(schedule: Schedule) -> JobRequest:
    """Return the job request of a schedule, as for a manual run.

    Options that the schedule leaves empty are those of its template. Raise ParametersInvalidError if the template's
    version in effect does not accept the stored values.
    """
    options = {
        "priority": schedule.priority,
        **{name: getattr(schedule, name) for name in KEY_FIELDS},
        "tags": tuple(schedule.tags),
        "queue": schedule.queue or None,
        "max_retries": schedule.max_retries,
    }
    if schedule.template is None:
        return JobRequest(kind=schedule.kind, payload=schedule.payload, **options)
    # A priority of 0 is empty; 0 retries are not.
    given = {name: value for name, value in options.items() if value or (name == "max_retries" and value is not None)}
    return request_by(schedule.template, schedule.payload, **given)


def request_at(request: JobRequest, schedule: Schedule, fire_time: datetime) -> JobRequest:
    """Return the request of a schedule for a fire, whose idempotency key prevents a second job for the same time."""
    delay = jitter_seconds(schedule.pk, fire_time, schedule.jitter_seconds)
    run_at = fire_time + timedelta(seconds=delay) if delay else None
    return replace(request, run_at=run_at, idempotency_key=f"schedule:{schedule.pk}:{fire_time.isoformat()}")


@dataclass(slots=True)
class Faults:
    """Collected validation errors of a schedule, each with the name of its field."""

    found: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, detail: str, code: str = "field_invalid") -> None:
        self.found.append({"field": name, "code": code, "detail": detail})

    def read[T](self, name: str, read: Callable[[], T]) -> T | None:
        """Return the result of ``read()``.

        If it raises a validation error, record it for the field ``name`` and return None.
        """
        try:
            return read()
        except (CronInvalidError, ZoneUnknownError) as error:
            self.add(name, str(error))
        except FieldInvalidError as error:
            self.add(name, error.errors[0]["detail"] if error.errors else error.detail)
        return None

    def raise_any(self) -> None:
        if self.found:
            first = self.found[0]
            raise ScheduleInvalidError(f"{first['field']}: {first['detail']}", errors=self.found)


@dataclass(frozen=True, slots=True)
class Timing:
    """Validated times with their bounds, for a preview without a schedule."""

    recurrence: FireTimes
    starts_at: datetime | None
    ends_at: datetime | None


def read_timing(values: Mapping[str, Any], *, now: datetime) -> Timing:
    """Return the validated timing for a preview; raise ScheduleInvalidError for invalid fields.

    The tenant's least interval and the fields of the job are not checked.
    """
    faults = Faults()
    draft = Schedule(**complete_timing(Schedule(), values, now))
    if draft.dst_policy not in set(DstPolicy):
        faults.add("dst_policy", gettext("There is no such policy."))
    _check_bounds(draft, faults)
    _check_times(draft, faults)
    faults.raise_any()
    return Timing(recurrence_of(draft), draft.starts_at, draft.ends_at)


def check_schedule(
    schedule: Schedule,
    tenant: Tenant,
    *,
    now: datetime,
    is_new_timing: bool,
    is_new_payload: bool = False,
    is_new_template: bool = False,
) -> None:
    """Validate all fields of a schedule; raise ScheduleInvalidError, whose ``errors`` name every invalid field.

    Values that were stored before are not quoted: the caller may not be allowed to see them.
    """
    faults = Faults()
    name = faults.read("name", lambda: clean_name(schedule.name, max_length=MAX_NAME_CHARACTERS))
    schedule.name = name or schedule.name
    _check_job(schedule, tenant, faults, now, is_new_payload=is_new_payload, is_new_template=is_new_template)
    if schedule.jitter_seconds > MAX_JITTER_SECONDS:
        faults.add("jitter_seconds", gettext("It must be at most %(limit)s seconds.") % {"limit": MAX_JITTER_SECONDS})
    if is_new_timing:
        _check_timing(schedule, tenant, faults, now)
    faults.raise_any()


def _check_job(
    schedule: Schedule, tenant: Tenant, faults: Faults, now: datetime, *, is_new_payload: bool, is_new_template: bool
) -> None:
    if not isinstance(schedule.payload, dict):
        faults.add("payload", gettext("The payload must be a JSON object."), "payload_invalid")
        return
    try:
        request = request_of(schedule)
    except ParametersInvalidError as error:
        faults.found.extend(faults_of_job(error if is_new_payload else error.without_values()))
        return
    try:
        if schedule.template is not None and (is_new_payload or is_new_template) and has_references(schedule.payload):
            # A later version may insert a value that this one leaves out.
            require_use_of_secrets()
        check_request(request, now=now, plan=tenant.plan)
        Routes.of_tenant(tenant).queue_for(request.kind, request.payload, request.queue)
    except PayloadInvalidError as error:
        # The payload of a template's job is the template's content, which is not quoted either.
        is_quoted = schedule.template is None and is_new_payload
        faults.found.extend(faults_of_job(error if is_quoted else PayloadInvalidError()))
    except DomainError as error:
        faults.found.extend(faults_of_job(error))


def faults_of_job(error: DomainError) -> list[dict[str, Any]]:
    """Return the faults of a refused job request, each with the field of the schedule that it concerns."""
    if isinstance(error, ScheduleInvalidError):
        return list(error.errors)
    if isinstance(error, PayloadInvalidError | ParametersInvalidError) and error.errors:
        return [{**fault, "field": f"payload{fault['field'].removeprefix('$')}"} for fault in error.errors]
    name = next((name for kind, name in _FIELD_OF_ERROR if isinstance(error, kind)), "payload")
    if isinstance(error, OptionInvalidError):
        # The text of such an error begins with the option.
        name = next((name for name in KEY_FIELDS if str(error).startswith(name)), "tags")
    return [{"field": name, "code": error.code, "detail": error.detail}]


def _check_timing(schedule: Schedule, tenant: Tenant, faults: Faults, now: datetime) -> None:
    _check_bounds(schedule, faults)
    way = _check_times(schedule, faults)
    if faults.found:
        return
    times = recurrence_of(schedule)
    limit, least = allowed_for(tenant.pk, SCHEDULE_INTERVAL) or 0, times.least_interval_seconds()
    if least is not None and least < limit:
        faults.add(
            way,
            gettext("Its shortest interval is %(least)s s; the plan allows one run in %(limit)s s.")
            % {"least": least, "limit": limit},
        )
    elif next_fire(schedule, times, after=now) is None:
        faults.add("ends_at" if schedule.ends_at else way, gettext("It has no future times."))


def _check_bounds(schedule: Schedule, faults: Faults) -> None:
    for name, moment in (
        ("starts_at", schedule.starts_at),
        ("ends_at", schedule.ends_at),
        ("once_at", schedule.once_at),
    ):
        if moment is not None and not EARLIEST <= moment < LATEST:
            faults.add(
                name,
                gettext("It must lie between the years %(first)s and %(last)s.")
                % {"first": EARLIEST.year, "last": LATEST.year - 1},
            )
    if schedule.starts_at and schedule.ends_at and schedule.starts_at >= schedule.ends_at:
        faults.add("ends_at", gettext("It must lie after starts_at."))


def _check_times(schedule: Schedule, faults: Faults) -> str:
    """Check a schedule's zone and way of timing; return the name of the way."""
    faults.read("timezone", lambda: find_zone(schedule.timezone))
    ways = [name for name in WAYS if getattr(schedule, name)]
    if len(ways) != 1:
        faults.add(ways[-1] if ways else "cron", gettext("Give one of cron, interval and single time."))
    elif schedule.cron and (cron := faults.read("cron", lambda: Cron.parse(schedule.cron))) is not None:
        schedule.cron = cron.expression
    elif (schedule.interval_seconds or 0) > MAX_INTERVAL_SECONDS:
        faults.add(
            "interval_seconds", gettext("It must be at most %(limit)s seconds.") % {"limit": MAX_INTERVAL_SECONDS}
        )
    return ways[0] if ways else "cron"
