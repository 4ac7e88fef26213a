"""Cancelling: at once where a job waits, at its next safe point where it runs."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

from scheduling.exceptions import InvalidTransitionError, JobNotFoundError
from scheduling.lifecycle import JobState
from scheduling.models import Job
from scheduling.services import verdicts
from scheduling.services.events import actor_label
from scheduling.services.settlement import settle_here
from scheduling.services.wakes import wake_on_commit
from tenants.context import current_actor
from tenants.ids import uuid7
from tenants.services.audit import record_audit

LOOKS = 5

# The waiting row goes before the job's row, in the order in which the dispatcher locks them.
_CANCEL_WAITING = """
WITH wanted AS (
    SELECT id, rank, tenant_id, queue_id FROM scheduling_job WHERE id = ANY(%(job_ids)s)
), entity AS (
    SELECT w.id AS job_id, w.rank, w.tenant_id, w.queue_id, e.id AS entity_id
    FROM wanted w JOIN scheduling_schedulingentity e ON e.tenant_id = w.tenant_id AND e.queue_id = w.queue_id
), ready AS (
    DELETE FROM scheduling_job_ready r USING entity e
    WHERE r.entity_id = e.entity_id AND r.rank = e.rank AND r.job_id = e.job_id RETURNING r.job_id, r.entity_id
), due AS (
    DELETE FROM scheduling_job_due d USING wanted w WHERE d.job_id = w.id RETURNING d.job_id, d.entity_id
), held AS (
    DELETE FROM scheduling_job_held h USING wanted w WHERE h.job_id = w.id RETURNING h.job_id, h.entity_id
), suspended AS (
    SELECT e.job_id, e.entity_id FROM entity e JOIN scheduling_job j ON j.id = e.job_id WHERE j.state = 'suspended'
), gone AS (
    SELECT *, 1 AS was_waiting FROM ready UNION ALL SELECT *, 1 FROM due
    UNION ALL SELECT *, 1 FROM held UNION ALL SELECT *, 0 FROM suspended
), job AS (
    UPDATE scheduling_job j SET state = 'cancelled', finished_at = now()
    FROM gone g WHERE j.id = g.job_id AND j.state IN ('scheduled', 'available', 'retryable', 'suspended')
    RETURNING j.id, j.tenant_id, j.queue_id, g.entity_id, g.was_waiting
), deadline AS (
    DELETE FROM scheduling_job_deadline d USING job j WHERE d.job_id = j.id
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, -sum(was_waiting) FROM job GROUP BY 1, 2, 3
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT ids.event_id, j.tenant_id, j.id, NULL, now(), 'job.cancelled', 'cancelled', %(actor)s, %(request_id)s,
        jsonb_build_object('reason', %(reason)s::text)
    FROM job j JOIN unnest(%(job_ids)s, %(event_ids)s::uuid[]) AS ids(job_id, event_id) ON ids.job_id = j.id
)
SELECT id FROM job
"""
_REQUEST_CANCEL = """
WITH asked AS (
    UPDATE scheduling_execution_live SET cancel_requested_at = coalesce(cancel_requested_at, now())
    WHERE job_id = ANY(%(job_ids)s) RETURNING id, tenant_id, job_id, fence, started_at
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT ids.event_id, a.tenant_id, a.job_id, a.id, now(), 'job.cancel_requested', 'executing', %(actor)s,
        %(request_id)s, jsonb_build_object('reason', %(reason)s::text)
    FROM asked a JOIN unnest(%(job_ids)s, %(event_ids)s::uuid[]) AS ids(job_id, event_id) ON ids.job_id = a.job_id
    WHERE a.started_at IS NOT NULL
)
SELECT id, job_id, fence, started_at IS NOT NULL FROM asked
"""


def cancel_job(*, job_id: UUID, reason: str = "") -> Job:
    """Cancel one job of the current scope.

    A job that runs is asked to stop and stays ``executing`` until it does. Raises
    JobNotFoundError, and InvalidTransitionError for a job that has ended.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise JobNotFoundError
    before = job.state
    # A job that changes hands between two statements is found on the next look.
    for _ in range(LOOKS):
        if job.is_terminal:
            raise InvalidTransitionError(f"A job that is {job.state} cannot be cancelled.")
        if job_id in cancel_here([job_id], reason=reason):
            break
        job.refresh_from_db()
    else:
        raise InvalidTransitionError("The job keeps changing hands; try again.")
    job.refresh_from_db()
    record_audit(
        action="job.cancelled",
        target=job,
        before={"state": before},
        after={"state": job.state},
        reason=reason,
    )
    return job


def cancel_here(job_ids: list[UUID], *, reason: str) -> set[UUID]:
    """Cancel jobs of the current scope in the caller's transaction; those it could cancel.

    Three set statements, whatever the number of jobs; the audit entry is the caller's.
    """
    actor = current_actor()
    parameters = {
        "job_ids": job_ids,
        "event_ids": [uuid7() for _ in job_ids],
        "actor": actor_label(actor),
        "request_id": actor.request_id,
        "reason": reason,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CANCEL_WAITING, parameters)
        cancelled = {job_id for (job_id,) in cursor.fetchall()}
        cursor.execute(_REQUEST_CANCEL, parameters | {"event_ids": [uuid7() for _ in job_ids]})
        in_flight = cursor.fetchall()
    not_begun = [
        verdicts.cancelled(execution_id, fence, reason=reason)
        for execution_id, _, fence, has_begun in in_flight
        if not has_begun
    ]
    settled = settle_here(not_begun, actor=actor_label(actor))
    asked = {job_id for _, job_id, _, has_begun in in_flight if has_begun}
    wake_on_commit()
    return cancelled | {row.job_id for row in settled if row.state == JobState.CANCELLED} | asked
