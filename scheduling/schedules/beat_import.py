"""Conversion of django-celery-beat's periodic tasks into schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext
from django_celery_beat.models import PeriodicTask

from scheduling.celery.beat_tasks import find_fault, kind_of_task, payload_of_call
from scheduling.celery.publishing import SUBMIT_TASK
from scheduling.exceptions import OptionInvalidError
from scheduling.models import Schedule
from scheduling.schedules.beat_jobs import BeatJob, cron_of, next_runs, read_job
from scheduling.schedules.definitions import JOB_FIELDS, check_values, create_schedule
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.locks import LockClass
from tenants.exceptions import DomainError
from tenants.models import Tenant
from tenants.tenancy.queries import find_tenant

# Beat may send the message of a single time this much early, by its own clock.
CLOCKS_APART = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Move:
    """A periodic task with the tenant and values of its schedule, or the reason why it stays with beat."""

    task: PeriodicTask
    tenant: Tenant | None = None
    values: dict[str, Any] | None = None
    reason: str = ""


def plan_moves(tenant: Tenant | None) -> Sequence[Move]:
    """Return what becomes of each enabled periodic task, by name.

    ``tenant`` is the tenant of tasks that name none: those of a fair task.
    """
    rows = PeriodicTask.objects.filter(enabled=True).select_related("interval", "crontab", "solar", "clocked")
    now = read_clock()
    return [_plan(task, tenant, now) for task in rows.order_by("name")]


@transaction.atomic
def move_task(move: Move) -> Schedule:
    """Create the schedule of a planned move and disable the periodic task, so that no due time of either runs twice.

    Raise the error of a schedule that is refused.
    """
    assert move.tenant is not None  # a planned move has both
    assert move.values is not None
    LockClass.BEAT_TASK.hold(str(move.task.pk))
    with suppress_nested_entries():
        schedule = create_schedule(tenant=move.tenant, values=move.values)
    move.task.enabled = False
    move.task.description = f"{move.task.description} Moved to the schedule {schedule.pk}.".strip()
    move.task.save(update_fields=["enabled", "description", "last_run_at"])
    with tenant_context(move.tenant):
        facts = {"periodic_task": move.task.name, "kind": schedule.kind, "next_fire_at": schedule.next_fire_at}
        record_audit(action="schedule.imported", target=schedule, after=facts)
    return schedule


def _plan(task: PeriodicTask, default: Tenant | None, now: datetime) -> Move:
    try:
        tenant, job = _job_of(task, default)
        values = {"name": task.name, **_job_values(job), **_timing_of(task, now)}
        values |= {"starts_at": task.start_time} if task.start_time and task.start_time > now else {}
        values |= {"ends_at": task.expires} if task.expires else {}
        check_values(tenant=tenant, values=values)
    except DomainError as error:
        faults = [f"{fault.get('field', '')} {fault['detail']}" for fault in error.errors]
        return Move(task, reason=" ".join([error.detail, *faults[1:]]))
    return Move(task, tenant, values)


def _job_of(task: PeriodicTask, default: Tenant | None) -> tuple[Tenant, BeatJob]:
    if (job := read_job(task)) is not None:
        return find_tenant(job.tenant), job
    if task.task == SUBMIT_TASK:
        raise OptionInvalidError("Its arguments name no tenant and kind.")
    kind = kind_of_task(task.task)
    if not kind:
        fault = find_fault(task)
        raise OptionInvalidError(fault.detail if fault else gettext("It is a task of the platform, which beat sends."))
    if default is None:
        raise OptionInvalidError("It names no tenant. Name one with --tenant.")
    return default, BeatJob(default.slug, kind, payload_of_call(kind, task.args, task.kwargs), {})


def _job_values(job: BeatJob) -> dict[str, Any]:
    options = {name: value for name, value in job.options.items() if value is not None}
    if strays := sorted(set(options) - set(JOB_FIELDS)):
        raise OptionInvalidError("A schedule has no option %(name)s.", {"name": strays[0]})
    return {"kind": job.kind, "payload": job.payload, **options}


def _timing_of(task: PeriodicTask, now: datetime) -> dict[str, Any]:
    if task.solar is not None:
        raise OptionInvalidError("A schedule has no times of the sun.")
    if task.one_off:
        runs = next_runs(task, now, 1)
        if not runs or runs[0].at <= now + CLOCKS_APART:
            raise OptionInvalidError("It runs once, and that time has passed or is less than a minute away.")
        return {"once_at": runs[0].at}
    if task.interval is not None:
        every = task.interval.schedule.run_every
        if every % timedelta(seconds=1):
            raise OptionInvalidError("A schedule has no fractions of a second.")
        # From now on: beat's last run may not be stored yet.
        return {"interval_seconds": every // timedelta(seconds=1)}
    if (cron := cron_of(task.crontab)) is None:
        raise OptionInvalidError("Beat needs day of month and day of week to match, a schedule one of them: empty one.")
    return {"cron": cron, "timezone": str(task.crontab.timezone)}
