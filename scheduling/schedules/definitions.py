"""Services that create, change, pause, resume and delete schedules."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext

from scheduling.exceptions import ScheduleInvalidError, ScheduleLimitError, ScheduleNotFoundError, ScheduleStaleError
from scheduling.jobs.job_templates.rights import require_right_to_run
from scheduling.jobs.job_templates.service import TEMPLATES
from scheduling.limits.declared import SCHEDULE_COUNT
from scheduling.models import JobTemplate, Schedule, ScheduleFire
from scheduling.schedules.rules import (
    KEY_FIELDS,
    TIMING_FIELDS,
    check_schedule,
    complete_timing,
    next_fire,
    recurrence_of,
)
from tenants.access.caller import Access
from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.locks import LockClass
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError
from tenants.limits.declared import LimitReached
from tenants.limits.usage import allowed_for
from tenants.models import Tenant
from tenants.settings.schema import tenant_setting
from tenants.settings.tenancy_settings import TIMEZONE
from tenants.tenancy.changes import Difference, assign
from tenants.tenancy.pausing import require_reason

JOB_FIELDS = ("kind", "payload", "priority", "queue", "tags", *KEY_FIELDS, "max_retries")
EDITABLE_FIELDS = (
    "name",
    "template",
    *JOB_FIELDS,
    *TIMING_FIELDS,
    "overlap_policy",
    "catch_up_policy",
    "jitter_seconds",
)
PAUSED_WHILE_WAITING = "The schedule was paused while this run waited."


def create_schedule(*, tenant: Tenant, values: Mapping[str, Any], access: Access | None = None) -> Schedule:
    """Create a schedule, which is enabled at once. Its time zone defaults to that of the tenant.

    ``values["template"]`` is the name of a template, whose kind the schedule gets. Raise ScheduleInvalidError, whose
    ``errors`` name every invalid field, or PermissionToRunDeniedError if ``access``, which is None for commands, lacks
    the right to run the template.
    """
    with tenant_context(tenant):
        _take_room(tenant)
        schedule, now = Schedule(tenant=tenant), read_clock()
        created = _assign(schedule, {"timezone": tenant_setting(tenant, TIMEZONE.key), **values}, now, access)
        check_schedule(schedule, tenant, now=now, is_new_timing=True, is_new_payload=True)
        _check_name(schedule)
        schedule.next_fire_at = _next_time(schedule, now)
        schedule.save(force_insert=True)
        record_audit(action="schedule.created", target=schedule, after=created.after)
    return schedule


def check_values(
    *, tenant: Tenant, values: Mapping[str, Any], schedule: Schedule | None = None, access: Access | None = None
) -> None:
    """Raise the errors that saving these values would raise; write nothing.

    ``schedule`` is the row to change, or None for a new schedule.
    """
    with tenant_context(tenant):
        draft, now = Schedule(tenant=tenant) if schedule is None else copy(schedule), read_clock()
        difference = _assign(draft, values, now, access)
        is_new_timing = schedule is None or any(name in difference.after for name in TIMING_FIELDS)
        is_new = {f"is_new_{name}": name in values for name in ("payload", "template")}
        check_schedule(draft, tenant, now=now, is_new_timing=is_new_timing, **is_new)
        _check_name(draft)


def update_schedule(
    *,
    schedule_id: UUID,
    changes: Mapping[str, Any],
    version: int | None = None,
    reason: str = "",
    access: Access | None = None,
) -> Schedule:
    """Change fields of a schedule in the current tenant context. Raise ScheduleStaleError if it is not at ``version``.

    A new cron, zone or bound applies from now: times missed under the old timing are not caught up.
    """
    with transaction.atomic():
        schedule = lock_schedule(schedule_id)
        if version is not None and version != schedule.version:
            raise ScheduleStaleError(
                "The schedule is at version %(current)s, not %(version)s.",
                {"current": schedule.version, "version": version},
            )
        with tenant_context(schedule.tenant):
            now = read_clock()
            difference = _assign(schedule, changes, now, access)
            if not difference:
                return schedule
            is_new_timing = any(name in difference.after for name in TIMING_FIELDS)
            is_new = {f"is_new_{name}": name in changes for name in ("payload", "template")}
            check_schedule(schedule, schedule.tenant, now=now, is_new_timing=is_new_timing, **is_new)
            if "name" in difference.after:
                _check_name(schedule)
            if is_new_timing and schedule.is_enabled:
                schedule.next_fire_at = _next_time(schedule, now)
            _save(schedule, difference, action="schedule.updated", reason=reason)
    return schedule


def pause_schedule(*, schedule_id: UUID, reason: str) -> Schedule:
    """Pause a schedule in the current tenant context.

    Times during the pause are not caught up; existing jobs continue.
    """
    reason = require_reason(reason)
    with transaction.atomic():
        schedule = lock_schedule(schedule_id)
        with tenant_context(schedule.tenant):
            if not schedule.is_enabled:
                return schedule
            ScheduleFire.objects.filter(schedule=schedule, outcome=ScheduleFire.Outcome.WAITING).update(
                outcome=ScheduleFire.Outcome.SKIPPED_OVERLAP, reason=PAUSED_WHILE_WAITING
            )
            schedule.next_fire_at = None
            difference = assign(schedule, {"is_enabled": False, "pause_reason": reason})
            _save(schedule, difference, action="schedule.paused", reason=reason)
    return schedule


def resume_schedule(*, schedule_id: UUID, reason: str = "") -> Schedule:
    """Resume a schedule in the current tenant context; the times that passed during the pause are not caught up."""
    with transaction.atomic():
        schedule = lock_schedule(schedule_id)
        with tenant_context(schedule.tenant):
            if schedule.is_enabled:
                return schedule
            now = read_clock()
            # The plan, the kinds or the time zones may have changed meanwhile.
            check_schedule(schedule, schedule.tenant, now=now, is_new_timing=True)
            schedule.next_fire_at = _next_time(schedule, now)
            difference = assign(schedule, {"is_enabled": True, "pause_reason": ""})
            _save(schedule, difference, action="schedule.resumed", reason=reason)
    return schedule


def delete_schedule(*, schedule_id: UUID, reason: str = "") -> None:
    """Delete a schedule in the current tenant context with its fires; their jobs are kept."""
    with transaction.atomic():
        schedule = lock_schedule(schedule_id)
        with tenant_context(schedule.tenant):
            record_audit(
                action="schedule.deleted",
                target=schedule,
                before={name: getattr(schedule, name) for name in ("name", *TIMING_FIELDS)},
                reason=reason,
            )
            # The database's foreign key deletes the fires.
            Schedule.objects.filter(pk=schedule.pk).delete()


def lock_schedule(schedule_id: UUID) -> Schedule:
    """Lock the row of a schedule until the transaction ends, as firing does, and return it.

    Raise ScheduleNotFoundError if the current tenant context has no such schedule.
    """
    rows = Schedule.objects.select_related("tenant__plan", "template").select_for_update(no_key=True, of=("self",))
    return first_or_raise(rows.filter(pk=schedule_id), ScheduleNotFoundError)


def _assign(schedule: Schedule, values: Mapping[str, Any], now: datetime, access: Access | None) -> Difference:
    if strays := set(values) - set(EDITABLE_FIELDS):
        raise FieldInvalidError("%(names)s: It cannot be edited.", {"names": ", ".join(sorted(strays))})
    try:
        return assign(schedule, complete_timing(schedule, _with_template(schedule, values, access), now))
    except FieldInvalidError as error:
        raise ScheduleInvalidError(error.detail, errors=error.errors) from error


def _with_template(schedule: Schedule, values: Mapping[str, Any], access: Access | None) -> Mapping[str, Any]:
    """Return changes of a schedule with the tenant's template of the given name, and the kind of its template."""
    template = schedule.template
    if "template" in values:
        name = values["template"]
        template = JobTemplate.objects.filter(name=name).first() if name else None
        if name and template is None:
            raise _invalid("template", gettext("There is no such template."))
        values = {**values, "template": template}
    if template is None:
        return values
    if access is not None:
        require_right_to_run(access, template)
    kind = TEMPLATES.describe(template)["kind"]
    if values.get("kind") not in (None, "", kind):
        raise _invalid("kind", gettext("The template has the kind %(kind)s.") % {"kind": kind})
    return {**values, "kind": kind}


def _invalid(field: str, detail: str, code: str = "field_invalid") -> ScheduleInvalidError:
    return ScheduleInvalidError(f"{field}: {detail}", errors=[{"field": field, "code": code, "detail": detail}])


def _take_room(tenant: Tenant) -> None:
    # Two concurrent creations would each see room for one more, so they take turns.
    LockClass.SCHEDULE_COUNT.hold(str(tenant.pk))
    allowed = allowed_for(tenant.pk, SCHEDULE_COUNT)
    if allowed is not None and (used := Schedule.objects.count()) >= allowed:
        raise ScheduleLimitError(
            "The plan allows %(limit)s schedules.",
            {"limit": allowed},
            limit=LimitReached(SCHEDULE_COUNT.key, SCHEDULE_COUNT.unit, allowed, used),
        )


def _check_name(schedule: Schedule) -> None:
    if Schedule.objects.filter(name=schedule.name).exclude(pk=schedule.pk).exists():
        raise _invalid("name", gettext("Another schedule has this name."), "name_taken")


def _next_time(schedule: Schedule, now: datetime) -> datetime | None:
    fire = next_fire(schedule, recurrence_of(schedule), after=now)
    return None if fire is None else fire.at


def _save(schedule: Schedule, difference: Difference, *, action: str, reason: str) -> None:
    schedule.version += 1
    schedule.save(update_fields=[*difference.after, "next_fire_at", "version", "updated_at"])
    record_audit(
        action=action,
        target=schedule,
        before=difference.before,
        after=difference.after,
        reason=reason,
    )
