"""Cancelling: at once where a job waits, at its next safe point where it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from django.db import connection, transaction

from scheduling.exceptions import InvalidTransitionError, JobNotFoundError
from scheduling.lifecycle import TERMINAL_STATES, JobState
from scheduling.models import Job
from scheduling.services import verdicts
from scheduling.services.events import actor_label
from scheduling.services.settlement import settle_here
from scheduling.services.waiting import look_again, take_out
from scheduling.services.wakes import wake_on_commit
from tenants.context import current_actor
from tenants.ids import uuid7s
from tenants.services.audit import AuditTarget, record_audit
from tenants.translation import LocalizableText

_OPEN_STATES = frozenset(JobState) - TERMINAL_STATES

_REQUEST_CANCEL = """
WITH ids AS (
    -- In one order everywhere: whoever takes several executions never waits for another in a ring.
    SELECT l.id, ids.event_id FROM scheduling_execution_live l
        JOIN unnest(%(job_ids)s::uuid[], %(event_ids)s::uuid[]) AS ids(job_id, event_id) USING (job_id)
    ORDER BY l.id FOR NO KEY UPDATE OF l
), asked AS (
    UPDATE scheduling_execution_live l SET cancel_requested_at = coalesce(l.cancel_requested_at, now())
    FROM ids WHERE l.id = ids.id
    RETURNING l.id, l.tenant_id, l.job_id, l.fence, l.started_at IS NOT NULL AS has_begun, ids.event_id
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, id, statement_timestamp(), 'job.cancel_requested', 'executing',
        %(actor)s, %(request_id)s, jsonb_build_object('reason', %(reason)s::text)
    FROM asked WHERE has_begun
)
SELECT id, job_id, fence, has_begun FROM asked
"""


@transaction.atomic
def cancel_job(*, job_id: UUID, reason: str = "") -> Job:
    """Cancel one job of the current scope.

    A job that runs is asked to stop and stays ``executing`` until it does. Raises
    JobNotFoundError, and InvalidTransitionError for a job that has ended.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise JobNotFoundError
    before = job.state
    is_cancelled = not job.is_terminal and bool(cancel_here([job_id], reason=reason))
    job = Job.objects.get(pk=job_id)  # anew, and not refreshed: that would open what is sealed
    if not is_cancelled:
        if job.is_terminal:
            raise InvalidTransitionError(
                "A job that is %(state)s cannot be cancelled.", {"state": LocalizableText(job.state)}
            )
        raise InvalidTransitionError("The job keeps changing hands; try again.")
    record_audit(
        action="job.cancelled",
        target=job,
        before={"state": before},
        after={"state": job.state},
        reason=reason,
    )
    return job


@transaction.atomic
def cancel_jobs(*, job_ids: Sequence[UUID], reason: str = "") -> set[UUID]:
    """Cancel many jobs of the current scope with one audit entry for each tenant; those it could cancel."""
    cancelled = cancel_here(job_ids, reason=reason)
    if cancelled:
        by_tenant = Counter(Job.objects.filter(pk__in=cancelled).values_list("tenant_id", flat=True))
        for tenant_id, count in sorted(by_tenant.items()):
            target = AuditTarget("scheduling.job", tenant_id=tenant_id)
            record_audit(action="job.cancelled", target=target, after={"jobs": count}, reason=reason)
    return cancelled


def cancel_here(job_ids: Sequence[UUID], *, reason: str) -> set[UUID]:
    """Cancel jobs in the caller's transaction; the audit entry is the caller's.

    Three set statements, whatever the number of jobs, and again for those that changed hands meanwhile.
    """
    cancelled = look_again(lambda ids: _cancel_found(ids, reason), job_ids, states=_OPEN_STATES)
    wake_on_commit()
    return cancelled


def _cancel_found(job_ids: Sequence[UUID], reason: str) -> set[UUID]:
    data = {"reason": reason} if reason else {}
    cancelled = take_out(job_ids, state=JobState.CANCELLED, event="job.cancelled", data=data)
    in_flight = _request_cancel([job_id for job_id in job_ids if job_id not in cancelled], reason)
    settled = settle_here(
        [
            verdicts.cancelled(execution_id, fence, reason=reason)
            for execution_id, _, fence, has_begun in in_flight
            if not has_begun
        ],
        actor=actor_label(current_actor()),
    )
    asked = {job_id for _, job_id, _, has_begun in in_flight if has_begun}
    return cancelled | {row.job_id for row in settled} | asked


def _request_cancel(job_ids: list[UUID], reason: str) -> list[tuple[UUID, UUID, int, bool]]:
    """Ask running jobs to stop: (execution, job, fence, whether it has begun) of those in flight."""
    if not job_ids:
        return []
    actor = current_actor()
    with connection.cursor() as cursor:
        cursor.execute(
            _REQUEST_CANCEL,
            {
                "job_ids": job_ids,
                "event_ids": uuid7s(len(job_ids)),
                "actor": actor_label(actor),
                "request_id": actor.request_id,
                "reason": reason,
            },
        )
        return list(cursor.fetchall())
