"""Retries of jobs: a job that waits for its retry runs now, an ended job runs again as a new job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import transaction

from scheduling.conf import WEBHOOK_KIND
from scheduling.dispatch.broker import wake_on_commit
from scheduling.exceptions import InvalidTransitionError, JobNotFoundError, KindInternalError, KindUnknownError
from scheduling.jobs.lifecycle import REPLAYABLE_STATES, JobState
from scheduling.jobs.requests import JobRequest, retry_policy_on
from scheduling.jobs.submission import submit_jobs
from scheduling.jobs.waiting_jobs import make_ready, retry_missed
from scheduling.kit import registry
from scheduling.limits.admission import RateStatus
from scheduling.models import DeadLetter, Job
from tenants.audit.service import AuditTarget, record_audit, suppress_nested_entries
from tenants.context import current_actor, tenant_context
from tenants.database.prepared import execute
from tenants.database.sql import load_sql
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import SealedValueBrokenError
from tenants.exceptions import DomainError, TenantSuspendedError
from tenants.models import Plan, Tenant
from tenants.translation import LocalizableText

_NOTE_REQUEUED = load_sql(__file__)["note_requeued"]


@dataclass(frozen=True, slots=True)
class RetryResult:
    """The job that runs after a retry; ``is_new``: it is a new job linked to the ended one."""

    job: Job
    is_new: bool


@dataclass(slots=True)
class BulkRetry:
    """The results of a retry of many jobs.

    ``hastened`` are the ids of jobs whose back-off was ended, ``replayed`` the new jobs by the id of the old one,
    ``refused`` the errors by id. ``rate`` is the state of the tenant's submission rate, if it was charged.
    """

    hastened: set[UUID] = field(default_factory=set)
    replayed: dict[UUID, Job] = field(default_factory=dict)
    refused: dict[UUID, DomainError] = field(default_factory=dict)
    rate: RateStatus | None = None


@transaction.atomic
def retry_job(*, job_id: UUID, reason: str = "") -> RetryResult:
    """Retry one job of the current tenant context: end its back-off, or run the ended job again as a new job.

    Raise JobNotFoundError, InvalidTransitionError unless the job is retryable, discarded, quarantined or cancelled, and
    the error of `submit_jobs` if the new job is refused.
    """
    bulk = retry_jobs(job_ids=[job_id], reason=reason)
    if job_id in bulk.refused:
        raise bulk.refused[job_id]
    if job_id in bulk.replayed:
        return RetryResult(bulk.replayed[job_id], is_new=True)
    return RetryResult(Job.objects.get(pk=job_id), is_new=False)


@transaction.atomic
def replay_job(*, job_id: UUID, payload: Mapping[str, Any], reason: str = "") -> Job:
    """Run an ended job again with another payload, as a new job linked to it; return the new job.

    Raise JobNotFoundError, InvalidTransitionError unless the job is discarded, quarantined or cancelled, and the error
    of `submit_jobs` if the new job is refused.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is not None and job.state not in REPLAYABLE_STATES:
        raise InvalidTransitionError(
            "A job that is %(state)s cannot be run again with another payload.", {"state": LocalizableText(job.state)}
        )
    bulk = retry_jobs(job_ids=[job_id], reason=reason, payloads={job_id: payload}, facts={"payloads_edited": 1})
    if job_id in bulk.refused:
        raise bulk.refused[job_id]
    return bulk.replayed[job_id]


@transaction.atomic
def retry_jobs(
    *,
    job_ids: Sequence[UUID],
    reason: str = "",
    payloads: Mapping[UUID, Mapping[str, Any]] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> BulkRetry:
    """Retry many jobs of the current tenant context, with one audit entry for each tenant.

    If a user or key of the tenant makes the request, each new job costs a token of the tenant's rate; when there are
    too few tokens, the first jobs in ``job_ids`` get them. ``payloads`` replace those of the replayed jobs; ``facts``
    are added to the audit entry.
    """
    bulk = BulkRetry()
    # The old job's outcome is not part of its next run.
    found = Job.objects.defer("checkpoint", "result", "error_message").in_bulk(job_ids)
    jobs = {job_id: found[job_id] for job_id in job_ids if job_id in found}
    for job_id in job_ids:
        if job_id not in jobs:
            bulk.refused[job_id] = JobNotFoundError()
    bulk.hastened = _hasten([job for job in jobs.values() if job.state == JobState.RETRYABLE], reason)
    _replay([job for job in jobs.values() if job.state in REPLAYABLE_STATES], bulk, payloads or {})
    for job_id, job in jobs.items():
        if job_id not in bulk.hastened and job_id not in bulk.replayed:
            bulk.refused.setdefault(
                job_id,
                InvalidTransitionError(
                    "A job that is %(state)s cannot be retried.", {"state": LocalizableText(job.state)}
                ),
            )
    by_tenant: dict[UUID, list[Job]] = {}
    for job_id in [*bulk.hastened, *bulk.replayed]:
        by_tenant.setdefault(jobs[job_id].tenant_id, []).append(jobs[job_id])
    for tenant_id, retried in sorted(by_tenant.items()):
        record_audit(
            action="job.retried",
            target=retried[0] if len(job_ids) == 1 else AuditTarget("scheduling.job", tenant_id=tenant_id),
            after={**_tell(retried, bulk), **(facts or {})},
            reason=reason,
        )
    return bulk


def _tell(jobs: Sequence[Job], bulk: BulkRetry) -> dict[str, Any]:
    """Return the results of a tenant's jobs for the audit entry; masking bounds a long list."""
    new = [str(bulk.replayed[job.pk].pk) for job in jobs if job.pk in bulk.replayed]
    return {"hastened": len(jobs) - len(new), "replayed": len(new), **({"jobs": new} if new else {})}


def _hasten(jobs: Sequence[Job], reason: str) -> set[UUID]:
    """End the back-off of jobs, which are available now; return those whose back-off ended."""
    if not jobs:
        return set()
    data, states = {"reason": reason} if reason else {}, [JobState.RETRYABLE]
    hastened = retry_missed(
        lambda job_ids: make_ready(job_ids, from_states=states, event="job.retried", data=data),
        [job.pk for job in jobs],
        states=states,
    )
    wake_on_commit()
    return hastened


def _replay(jobs: Sequence[Job], bulk: BulkRetry, payloads: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Submit each ended job again, linked to the old one; a dead letter is requeued once."""
    letters = _lock_letters(jobs)
    fresh = []
    for job in jobs:
        letter = letters.get(job.pk)
        if letter is not None and letter.requeued_at is not None:
            bulk.refused[job.pk] = InvalidTransitionError(
                "Already requeued as job %(job)s.", {"job": letter.requeued_job_id}
            )
        elif (refusal := refusal_of_replay(job.kind)) is not None:
            bulk.refused[job.pk] = refusal
        else:
            fresh.append(job)
    for tenant_id, group in groupby(sorted(fresh, key=lambda job: job.tenant_id), key=lambda job: job.tenant_id):
        _submit_anew(tenant_id, list(group), bulk, payloads)
    requeued = [(letters[old_id].pk, new.pk) for old_id, new in bulk.replayed.items() if old_id in letters]
    if requeued:
        values = {"letter_ids": [letter for letter, _ in requeued], "job_ids": [job for _, job in requeued]}
        execute(_NOTE_REQUEUED, values, is_planned=True)


def refusal_of_replay(kind: str) -> DomainError | None:
    """Return the error if the caller may not run jobs of this kind again, or None if the caller may.

    A replay repeats the effects of the old payload. People and keys of a tenant may replay webhook deliveries with
    `webhooks.manage`, and no other internal kind.
    """
    try:
        is_internal = registry.get(kind).is_internal
    except KindUnknownError:
        return None  # the submission refuses it with its own message
    actor = current_actor()
    if not is_internal or not actor.is_of_tenant or (kind == WEBHOOK_KIND and actor.may_manage_webhooks):
        return None
    return KindInternalError("Only the platform submits jobs of the kind %(kind)r.", {"kind": kind})


def _lock_letters(jobs: Sequence[Job]) -> dict[UUID, DeadLetter]:
    """Lock and return the dead letters of these jobs.

    They are locked in one order everywhere: a concurrent requeue of the same letters waits, and finds them requeued.
    """
    locked = (
        DeadLetter.objects.select_for_update(no_key=True).filter(job_id__in=[job.pk for job in jobs]).order_by("pk")
    )
    return {letter.job_id: letter for letter in locked.only("tenant_id", "job_id", "requeued_at", "requeued_job_id")}


def _submit_anew(tenant_id: UUID, jobs: list[Job], bulk: BulkRetry, payloads: Mapping[UUID, Mapping[str, Any]]) -> None:
    try:
        with tenant_context(tenant_id), suppress_nested_entries():
            tenant = Tenant.objects.select_related("plan").get(pk=tenant_id)
            requests, jobs = _requests_anew(jobs, payloads, tenant.plan, bulk)
            if not jobs:
                return
            result = submit_jobs(
                tenant=tenant,
                requests=requests,
                parents=jobs,
                # A replay counts as a new job: otherwise a tenant could cancel and retry its way around its rate.
                is_rate_limited=current_actor().is_of_tenant,
            )
    except (TenantSuspendedError, DataKeyUnavailableError) as refusal:
        # Jobs of other tenants in the same call are not affected.
        bulk.refused |= {job.pk: refusal for job in jobs}
        return
    bulk.rate = result.rate
    bulk.replayed |= {jobs[index].pk: submission.job for index, submission in result.accepted}
    bulk.refused |= {jobs[index].pk: error for index, error in result.rejected}


def _requests_anew(
    jobs: Sequence[Job], payloads: Mapping[UUID, Mapping[str, Any]], plan: Plan, bulk: BulkRetry
) -> tuple[list[JobRequest], list[Job]]:
    """Return the requests of replays with their jobs; a job whose payload cannot be decrypted is refused alone."""
    requests: list[JobRequest] = []
    readable: list[Job] = []
    for job in jobs:
        try:
            requests.append(_request_anew(job, payloads.get(job.pk), plan))
        except (DataKeyUnavailableError, SealedValueBrokenError) as refusal:
            bulk.refused[job.pk] = refusal
        else:
            readable.append(job)
    return requests, readable


def _request_anew(job: Job, payload: Mapping[str, Any] | None, plan: Plan) -> JobRequest:
    """Return the request of a replay; an internal kind is accepted only with its own payload."""
    return JobRequest(
        kind=job.kind,
        payload=job.payload if payload is None else payload,
        priority=job.priority,
        fair_key=job.fair_key,
        # A unique key is not claimed again: the caller wants this very job to run.
        concurrency_key=job.concurrency_key or "",
        tags=job.tags,
        meta=job.meta,
        max_retries=_retries_of_replay(job, plan),
        is_internal=payload is None,
    )


def _retries_of_replay(job: Job, plan: Plan) -> int | None:
    """Return the old job's max_retries, within what kind and plan allow now."""
    try:
        kind = registry.get(job.kind)
    except KindUnknownError:
        return None  # the submission refuses it with its own message
    return min(job.max_retries, retry_policy_on(plan, kind).max_retries)
