"""Trying again: sooner, where a job backs off; as a new job, where it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from scheduling.exceptions import InvalidTransitionError, JobNotFoundError
from scheduling.lifecycle import REPLAYABLE_STATES, JobState
from scheduling.models import DeadLetter, Job
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_jobs
from scheduling.services.waiting import look_again, make_ready
from scheduling.services.wakes import wake_on_commit
from tenants.context import current_actor, tenant_context
from tenants.exceptions import DomainError
from tenants.models import Tenant
from tenants.services.audit import AuditTarget, part_of_act, record_audit


@dataclass(frozen=True, slots=True)
class RetryResult:
    """The job that runs; ``is_new`` where it is a new job linked to the one that ended."""

    job: Job
    is_new: bool


@dataclass(slots=True)
class BulkRetry:
    """What became of each job: waits no longer, was replayed as another, or why not."""

    hastened: set[UUID] = field(default_factory=set)
    replayed: dict[UUID, Job] = field(default_factory=dict)
    refused: dict[UUID, DomainError] = field(default_factory=dict)


@transaction.atomic
def retry_job(*, job_id: UUID, reason: str = "") -> RetryResult:
    """Try one job of the current scope again.

    Raises JobNotFoundError, InvalidTransitionError for a job that neither backs off nor
    ended without success, and whatever submission refuses.
    """
    bulk = retry_jobs(job_ids=[job_id], reason=reason)
    if job_id in bulk.refused:
        raise bulk.refused[job_id]
    if job_id in bulk.replayed:
        return RetryResult(bulk.replayed[job_id], is_new=True)
    return RetryResult(Job.objects.get(pk=job_id), is_new=False)


@transaction.atomic
def retry_jobs(*, job_ids: Sequence[UUID], reason: str = "") -> BulkRetry:
    """Try many jobs of the current scope again, with one audit entry for each tenant.

    Each new job costs a token of its tenant's rate where the tenant's own people or keys ask for it.
    """
    bulk = BulkRetry()
    jobs = {job.pk: job for job in Job.objects.filter(pk__in=job_ids)}
    for job_id in job_ids:
        if job_id not in jobs:
            bulk.refused[job_id] = JobNotFoundError()
    bulk.hastened = _hasten([job for job in jobs.values() if job.state == JobState.RETRYABLE], reason)
    _replay([job for job in jobs.values() if job.state in REPLAYABLE_STATES], bulk)
    for job_id, job in jobs.items():
        if job_id not in bulk.hastened and job_id not in bulk.replayed:
            bulk.refused.setdefault(job_id, InvalidTransitionError(f"A job that is {job.state} cannot be retried."))
    by_tenant: dict[UUID, list[Job]] = {}
    for job_id in [*bulk.hastened, *bulk.replayed]:
        by_tenant.setdefault(jobs[job_id].tenant_id, []).append(jobs[job_id])
    for tenant_id, retried in sorted(by_tenant.items()):
        record_audit(
            action="job.retried",
            target=retried[0] if len(job_ids) == 1 else AuditTarget("scheduling.job", tenant_id=tenant_id),
            after=_tell(retried, bulk),
            reason=reason,
        )
    return bulk


def _tell(jobs: Sequence[Job], bulk: BulkRetry) -> dict[str, Any]:
    """What became of a tenant's jobs, and which are new; masking bounds a long list."""
    new = [str(bulk.replayed[job.pk].pk) for job in jobs if job.pk in bulk.replayed]
    return {"hastened": len(jobs) - len(new), "replayed": len(new), **({"jobs": new} if new else {})}


def _hasten(jobs: Sequence[Job], reason: str) -> set[UUID]:
    """End the back-off of jobs: they are available now."""
    data, states = {"reason": reason} if reason else {}, [JobState.RETRYABLE]
    hastened = look_again(
        lambda job_ids: make_ready(job_ids, from_states=states, event="job.retried", data=data),
        [job.pk for job in jobs],
        states=states,
    )
    wake_on_commit()
    return hastened


def _replay(jobs: Sequence[Job], bulk: BulkRetry) -> None:
    """Submit each ended job anew, linked to the old one; a dead letter is requeued once."""
    letters = {
        letter.job_id: letter
        for letter in DeadLetter.objects.select_for_update().filter(job_id__in=[job.pk for job in jobs])
    }
    fresh = []
    for job in jobs:
        letter = letters.get(job.pk)
        if letter is not None and letter.requeued_at is not None:
            bulk.refused[job.pk] = InvalidTransitionError(f"Requeued already as job {letter.requeued_job_id}.")
        else:
            fresh.append(job)
    for tenant_id, group in groupby(sorted(fresh, key=lambda job: job.tenant_id), key=lambda job: job.tenant_id):
        _submit_anew(tenant_id, list(group), bulk)
    for old_id, new in bulk.replayed.items():
        if old_id in letters:
            letters[old_id].requeued_at = Now()
            letters[old_id].requeued_job_id = new.pk
    DeadLetter.objects.bulk_update(
        [letters[old_id] for old_id in bulk.replayed if old_id in letters], ["requeued_at", "requeued_job_id"]
    )


def _submit_anew(tenant_id: UUID, jobs: list[Job], bulk: BulkRetry) -> None:
    with tenant_context(tenant_id), part_of_act():
        tenant = Tenant.objects.select_related("plan").get(pk=tenant_id)
        result = submit_jobs(
            tenant=tenant,
            requests=[
                JobRequest(
                    kind=job.kind,
                    payload=job.payload,
                    priority=job.priority,
                    fair_key=job.fair_key,
                    tags=job.tags,
                    max_retries=job.max_retries,
                )
                for job in jobs
            ],
            parents=jobs,
            # A new job is a new job: else a tenant would cancel and retry its way around its rate.
            is_rated=current_actor().is_of_tenant,
        )
    bulk.replayed |= {jobs[index].pk: submission.job for index, submission in result.accepted}
    bulk.refused |= {jobs[index].pk: error for index, error in result.rejected}
