"""Submission of the jobs of schedules: at their times, by hand, and for past times (backfill)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext

from scheduling.conf import MAX_BACKFILL_FIRES
from scheduling.exceptions import BackfillInvalidError
from scheduling.jobs.job_templates.exceptions import (
    JobTemplateInvalidError,
    JobTemplateNotFoundError,
    ParametersInvalidError,
)
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import Submission, submit_job, submit_jobs
from scheduling.models import Schedule, ScheduleFire
from scheduling.schedules.definitions import lock_schedule
from scheduling.schedules.rules import EARLIEST, recurrence_of, request_at, request_of
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.database.clock import read_clock, read_moment
from tenants.exceptions import DomainError
from tenants.models import Tenant

_MOMENT = timedelta(microseconds=1)
# Times that have, or will have, their job; the others can be backfilled.
DONE_OUTCOMES = (ScheduleFire.Outcome.SUBMITTED, ScheduleFire.Outcome.WAITING)


@dataclass(frozen=True, slots=True)
class Backfill:
    """Plan or result of a backfill.

    ``times`` are the times without a job, ``skipped`` counts those that have one, ``refused`` lists times with the
    reason why they got none.
    """

    times: Sequence[datetime]
    skipped: int
    submitted: int = 0
    refused: Sequence[tuple[datetime, str]] = ()


# Errors of a template; any other, such as that of a missing data key, leaves the fires due.
_REFUSALS = (ParametersInvalidError, JobTemplateInvalidError, JobTemplateNotFoundError)


def submit_fires(
    tenant: Tenant, fires: Sequence[tuple[Schedule, ScheduleFire]], *, is_rate_limited: bool = False
) -> None:
    """Submit the job of each fire and set the job and outcome on the fire; the caller saves the fires.

    If one job is refused, only its fire is refused; if the tenant may submit nothing now, all fires are.
    """
    made = _requests_of(fires)
    requests = [request for _, request in made]
    try:
        bulk = submit_jobs(tenant=tenant, requests=requests, is_rate_limited=is_rate_limited)
    except DomainError as error:
        for fire, _ in made:
            _refuse(fire, error)
        return
    for index, submission in bulk.accepted:
        _accept(*made[index], submission)
    for index, refusal in bulk.rejected:
        _refuse(made[index][0], refusal)


def _requests_of(fires: Sequence[tuple[Schedule, ScheduleFire]]) -> list[tuple[ScheduleFire, JobRequest]]:
    """Return the request of each fire; refuse the fires of schedules whose template cannot make one of their values."""
    made: list[tuple[ScheduleFire, JobRequest]] = []
    # A template's version is read once for all times of a schedule.
    requests: dict[UUID, JobRequest | DomainError] = {}
    for schedule, fire in fires:
        if schedule.pk not in requests:
            try:
                requests[schedule.pk] = _request_of(schedule)
            except _REFUSALS as error:
                requests[schedule.pk] = error
        request = requests[schedule.pk]
        if isinstance(request, DomainError):
            _refuse(fire, request)
        else:
            made.append((fire, request_at(request, schedule, fire.fire_time)))
    return made


def _request_of(schedule: Schedule) -> JobRequest:
    """Return the job request of a schedule; the error of a template that refuses the stored values quotes none."""
    try:
        return request_of(schedule)
    except ParametersInvalidError as error:
        raise error.without_values() from error


def _accept(fire: ScheduleFire, request: JobRequest, submission: Submission) -> None:
    """Set the job of a fire; if another job has the unique key, skip the fire, so that it never counts as a run."""
    if submission.created or submission.job.idempotency_key == request.idempotency_key:
        fire.job, fire.outcome, fire.reason = submission.job, ScheduleFire.Outcome.SUBMITTED, ""
    else:
        fire.outcome = ScheduleFire.Outcome.SKIPPED_OVERLAP
        fire.reason = f"The job {submission.job.pk} has the unique key."


def _refuse(fire: ScheduleFire, error: DomainError) -> None:
    fire.outcome = ScheduleFire.Outcome.REFUSED
    fire.reason = f"{error.code}: {error}"[:500]


@transaction.atomic
def run_schedule_now(*, schedule_id: UUID, reason: str = "", is_rate_limited: bool = False) -> ScheduleFire:
    """Submit a schedule's job at once, even if an earlier job is unfinished or the schedule is paused.

    If another job has the unique key, return that job in a skipped fire, which is not stored. Raise the error of a
    refused submission. With ``is_rate_limited`` the job counts against the tenant's submission rate.
    """
    schedule = lock_schedule(schedule_id)
    with tenant_context(schedule.tenant):
        now = read_moment()
        fire = new_fire(schedule, now, ScheduleFire.Trigger.MANUAL, now)
        request = _request_of(schedule)
        with suppress_nested_entries():
            submission = submit_job(tenant=schedule.tenant, request=request, is_rate_limited=is_rate_limited)
        fire.job = submission.job
        if not submission.created:
            fire.outcome = ScheduleFire.Outcome.SKIPPED_OVERLAP
            return fire
        fire.save(force_insert=True)
        record_audit(action="schedule.run", target=schedule, after={"job": str(fire.job_id)}, reason=reason)
    return fire


@transaction.atomic
def backfill_schedule(
    *,
    schedule_id: UUID,
    since: datetime,
    until: datetime,
    is_dry_run: bool,
    reason: str = "",
    is_rate_limited: bool = False,
) -> Backfill:
    """Submit a job for each time from ``since`` to ``until`` that has none, at most MAX_BACKFILL_FIRES.

    This includes times that were missed, skipped or refused; unfinished jobs of the schedule do not matter. With
    ``is_dry_run`` only return the times.
    """
    schedule = lock_schedule(schedule_id)
    with tenant_context(schedule.tenant):
        now = read_clock()
        times = _times_between(schedule, since, until, now)
        known = {fire.fire_time: fire for fire in ScheduleFire.objects.filter(schedule=schedule, fire_time__in=times)}
        wanted = [time for time in times if time not in known or known[time].outcome not in DONE_OUTCOMES]
        plan = Backfill(wanted, len(times) - len(wanted))
        if is_dry_run or not wanted:
            return plan
        fires = [known.get(time) or new_fire(schedule, time, ScheduleFire.Trigger.BACKFILL, now) for time in wanted]
        with suppress_nested_entries():
            submit_fires(schedule.tenant, [(schedule, fire) for fire in fires], is_rate_limited=is_rate_limited)
        return _store_backfill(schedule, plan, fires, now, reason)


def _times_between(schedule: Schedule, since: datetime, until: datetime, now: datetime) -> list[datetime]:
    if since < EARLIEST:
        raise BackfillInvalidError.of(
            "from", gettext("It must not lie before the year %(year)s.") % {"year": EARLIEST.year}
        )
    if since > until:
        raise BackfillInvalidError.of("to", gettext("It must not lie before from."))
    if until > now:
        raise BackfillInvalidError.of("to", gettext("It must not lie in the future."))
    fires = recurrence_of(schedule).fires_between(since - _MOMENT, until, MAX_BACKFILL_FIRES + 1)
    if len(fires) > MAX_BACKFILL_FIRES:
        raise BackfillInvalidError.of(
            "to",
            gettext("The span has more than %(limit)s times; choose a shorter one.") % {"limit": MAX_BACKFILL_FIRES},
        )
    return [fire.at for fire in fires]


def _store_backfill(
    schedule: Schedule, plan: Backfill, fires: list[ScheduleFire], now: datetime, reason: str
) -> Backfill:
    """Save the fires that have a job now.

    Refused and skipped times are returned but not saved, so that a later backfill retries them.
    """
    made = [fire for fire in fires if fire.outcome == ScheduleFire.Outcome.SUBMITTED]
    for fire in made:
        fire.trigger, fire.fired_at = ScheduleFire.Trigger.BACKFILL, now
    ScheduleFire.objects.bulk_create(
        made,
        update_conflicts=True,
        unique_fields=["schedule", "fire_time"],
        update_fields=["outcome", "reason", "job", "trigger", "fired_at"],
    )
    refused = [(fire.fire_time, fire.reason) for fire in fires if fire.outcome != ScheduleFire.Outcome.SUBMITTED]
    record_audit(
        action="schedule.backfilled",
        target=schedule,
        after={
            "from": plan.times[0].isoformat(),
            "to": plan.times[-1].isoformat(),
            "submitted": len(made),
            "refused": len(refused),
        },
        reason=reason,
    )
    return Backfill(plan.times, plan.skipped, len(made), refused)


def new_fire(schedule: Schedule, fire_time: datetime, trigger: str, now: datetime) -> ScheduleFire:
    return ScheduleFire(
        tenant_id=schedule.tenant_id,
        schedule=schedule,
        fire_time=fire_time,
        trigger=trigger,
        outcome=ScheduleFire.Outcome.SUBMITTED,
        fired_at=now,
    )
