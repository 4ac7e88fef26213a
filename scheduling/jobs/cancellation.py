"""Cancellation of jobs: a waiting job at once, a running one at its next safe point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.rows import class_row

from scheduling.dispatch.broker import wake_on_commit
from scheduling.exceptions import InvalidTransitionError, JobNotFoundError
from scheduling.execution import settlement_builders
from scheduling.execution.settlement import settle_here
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState
from scheduling.jobs.storing import actor_label
from scheduling.jobs.waiting_jobs import end_waiting, retry_missed
from scheduling.models import Job
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import current_actor
from tenants.database.ids import uuid7s
from tenants.database.prepared import fetch_all
from tenants.database.reads import first_or_raise
from tenants.database.sql import load_sql
from tenants.translation import LocalizableText

_OPEN_STATES = frozenset(JobState) - TERMINAL_STATES

_REQUEST_CANCEL = load_sql(__file__)["request_cancel"]


@dataclass(frozen=True, slots=True)
class _InFlight:
    """An execution whose cancellation is requested, and whether a worker has started it."""

    execution_id: UUID
    job_id: UUID
    fence: int
    has_begun: bool


@transaction.atomic
def cancel_job(*, job_id: UUID, reason: str = "") -> Job:
    """Cancel one job of the current tenant context, and return it.

    A running job is requested to stop and stays ``executing`` until it does. Raise JobNotFoundError, and
    InvalidTransitionError for a job that has ended.
    """
    job = first_or_raise(Job.objects.filter(pk=job_id), JobNotFoundError)
    before = job.state
    is_cancelled = not job.is_terminal and bool(cancel_here([job_id], reason=reason))
    job = Job.objects.get(pk=job_id)  # read again, not refreshed: a refresh would decrypt
    if not is_cancelled:
        if job.is_terminal:
            raise InvalidTransitionError(
                "A job that is %(state)s cannot be cancelled.", {"state": LocalizableText(job.state)}
            )
        raise InvalidTransitionError("The job keeps changing state; try again.")
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
    """Cancel many jobs of the current tenant context; return the ids of those cancelled or requested to stop.

    Write one audit entry for each tenant.
    """
    cancelled = cancel_here(job_ids, reason=reason)
    if cancelled:
        by_tenant = Counter(Job.objects.filter(pk__in=cancelled).values_list("tenant_id", flat=True))
        for tenant_id, count in sorted(by_tenant.items()):
            target = AuditTarget("scheduling.job", tenant_id=tenant_id)
            record_audit(action="job.cancelled", target=target, after={"jobs": count}, reason=reason)
    return cancelled


def cancel_here(job_ids: Sequence[UUID], *, reason: str) -> set[UUID]:
    """Cancel jobs in the caller's transaction; return the ids of those cancelled or requested to stop.

    The caller writes the audit entry. It takes three statements, whatever the number of jobs, repeated for jobs that
    changed state meanwhile.
    """
    cancelled = retry_missed(lambda ids: _cancel_found(ids, reason), job_ids, states=_OPEN_STATES)
    wake_on_commit()
    return cancelled


def _cancel_found(job_ids: Sequence[UUID], reason: str) -> set[UUID]:
    data = {"reason": reason} if reason else {}
    cancelled = end_waiting(job_ids, state=JobState.CANCELLED, event="job.cancelled", data=data)
    in_flight = _request_cancel([job_id for job_id in job_ids if job_id not in cancelled], reason)
    settled = settle_here(
        [
            settlement_builders.cancelled(row.execution_id, row.fence, reason=reason)
            for row in in_flight
            if not row.has_begun
        ],
        actor=actor_label(current_actor()),
    )
    asked = {row.job_id for row in in_flight if row.has_begun}
    return cancelled | {row.job_id for row in settled} | asked


def _request_cancel(job_ids: list[UUID], reason: str) -> list[_InFlight]:
    """Request the cancellation of running jobs; return those in flight."""
    if not job_ids:
        return []
    actor = current_actor()
    values: dict[str, Any] = {
        "job_ids": job_ids,
        "event_ids": uuid7s(len(job_ids)),
        "actor": actor_label(actor),
        "request_id": actor.request_id,
        "reason": reason,
    }
    return fetch_all(_REQUEST_CANCEL, values, class_row(_InFlight))
