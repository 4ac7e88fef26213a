"""Trying again: sooner, where a job backs off; as a new job, where it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from scheduling.conf import WEBHOOK_KIND
from scheduling.dispatch.wakes import wake_on_commit
from scheduling.exceptions import InvalidTransitionError, JobNotFoundError, KindInternalError, KindUnknownError
from scheduling.jobs.lifecycle import REPLAYABLE_STATES, JobState
from scheduling.jobs.requests import JobRequest, retry_policy_on
from scheduling.jobs.submission import submit_jobs
from scheduling.jobs.waiting import look_again, make_ready
from scheduling.kit import registry
from scheduling.limits.admission import RateStanding
from scheduling.models import DeadLetter, Job
from tenants.audit.service import AuditTarget, part_of_act, record_audit
from tenants.context import current_actor, tenant_context
from tenants.database.sql import load_sql
from tenants.encryption.data_keys import DataKeyUnavailableError
from tenants.encryption.fields import SealedValueBrokenError
from tenants.exceptions import DomainError, TenantSuspendedError
from tenants.models import Plan, Tenant
from tenants.translation import LocalizableText

_NOTE_REQUEUED = load_sql(__file__)["note_requeued"]


@dataclass(frozen=True, slots=True)
class RetryResult:
    """The job that runs; ``is_new`` where it is a new job linked to the one that ended."""

    job: Job
    is_new: bool


@dataclass(slots=True)
class BulkRetry:
    """What became of each job: waits no longer, was replayed as another, or why not.

    ``rate`` is how the tenant's rate of submissions stands, where it was charged.
    """

    hastened: set[UUID] = field(default_factory=set)
    replayed: dict[UUID, Job] = field(default_factory=dict)
    refused: dict[UUID, DomainError] = field(default_factory=dict)
    rate: RateStanding | None = None


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
def replay_job(*, job_id: UUID, payload: Mapping[str, Any], reason: str = "") -> Job:
    """Run an ended job's work anew with another payload, as a new job linked to it.

    Raises JobNotFoundError, InvalidTransitionError for a job that has not ended or did succeed, and whatever
    submission refuses.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is not None and job.state not in REPLAYABLE_STATES:
        raise InvalidTransitionError(
            "A job that is %(state)s does not run again with another payload.", {"state": LocalizableText(job.state)}
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
    """Try many jobs of the current scope again, with one audit entry for each tenant.

    Each new job costs a token of its tenant's rate where the tenant's own people or keys ask for it; of many the first
    ones in the order of ``job_ids`` get one. ``payloads`` are those of replays that are not to have the old job's own;
    ``facts`` are told in the audit entry too.
    """
    bulk = BulkRetry()
    # What a job has left behind is no part of its next run.
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
    """What became of a tenant's jobs, and which are new; masking bounds a long list."""
    new = [str(bulk.replayed[job.pk].pk) for job in jobs if job.pk in bulk.replayed]
    return {"hastened": len(jobs) - len(new), "replayed": len(new), **({"jobs": new} if new else {})}


def _hasten(jobs: Sequence[Job], reason: str) -> set[UUID]:
    """End the back-off of jobs: they are available now."""
    if not jobs:
        return set()
    data, states = {"reason": reason} if reason else {}, [JobState.RETRYABLE]
    hastened = look_again(
        lambda job_ids: make_ready(job_ids, from_states=states, event="job.retried", data=data),
        [job.pk for job in jobs],
        states=states,
    )
    wake_on_commit()
    return hastened


def _replay(jobs: Sequence[Job], bulk: BulkRetry, payloads: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Submit each ended job anew, linked to the old one; a dead letter is requeued once."""
    letters = _lock_letters(jobs)
    fresh = []
    for job in jobs:
        letter = letters.get(job.pk)
        if letter is not None and letter.requeued_at is not None:
            bulk.refused[job.pk] = InvalidTransitionError(
                "Requeued already as job %(job)s.", {"job": letter.requeued_job_id}
            )
        elif (refusal := refusal_of_replay(job.kind)) is not None:
            bulk.refused[job.pk] = refusal
        else:
            fresh.append(job)
    for tenant_id, group in groupby(sorted(fresh, key=lambda job: job.tenant_id), key=lambda job: job.tenant_id):
        _submit_anew(tenant_id, list(group), bulk, payloads)
    requeued = [(letters[old_id].pk, new.pk) for old_id, new in bulk.replayed.items() if old_id in letters]
    if requeued:
        with connection.cursor() as cursor:
            values = {"letter_ids": [letter for letter, _ in requeued], "job_ids": [job for _, job in requeued]}
            cursor.execute(_NOTE_REQUEUED, values)


def refusal_of_replay(kind: str) -> DomainError | None:
    """Return why the caller may not replay jobs of an internal kind, or None; with what they had, they act anew.

    People and keys of a tenant replay deliveries with `webhooks.manage`, and no other internal kind.
    """
    try:
        is_internal = registry.get(kind).is_internal
    except KindUnknownError:
        return None  # submission refuses it in its own words
    actor = current_actor()
    if not is_internal or not actor.is_of_tenant or (kind == WEBHOOK_KIND and actor.may_manage_webhooks):
        return None
    return KindInternalError("Jobs of the kind %(kind)r are submitted by the platform alone.", {"kind": kind})


def _lock_letters(jobs: Sequence[Job]) -> dict[UUID, DeadLetter]:
    """The dead letters of these jobs.

    In one order everywhere: whoever requeues the same ones waits, and finds them requeued.
    """
    locked = (
        DeadLetter.objects.select_for_update(no_key=True).filter(job_id__in=[job.pk for job in jobs]).order_by("pk")
    )
    return {letter.job_id: letter for letter in locked.only("tenant_id", "job_id", "requeued_at", "requeued_job_id")}


def _submit_anew(tenant_id: UUID, jobs: list[Job], bulk: BulkRetry, payloads: Mapping[UUID, Mapping[str, Any]]) -> None:
    try:
        with tenant_context(tenant_id), part_of_act():
            tenant = Tenant.objects.select_related("plan").get(pk=tenant_id)
            requests, jobs = _requests_anew(jobs, payloads, tenant.plan, bulk)
            if not jobs:
                return
            result = submit_jobs(
                tenant=tenant,
                requests=requests,
                parents=jobs,
                # A new job is a new job: else a tenant would cancel and retry its way around its rate.
                is_rated=current_actor().is_of_tenant,
            )
    except (TenantSuspendedError, DataKeyUnavailableError) as refusal:
        # The jobs of other tenants in the same act are not its affair.
        bulk.refused |= {job.pk: refusal for job in jobs}
        return
    bulk.rate = result.rate
    bulk.replayed |= {jobs[index].pk: submission.job for index, submission in result.accepted}
    bulk.refused |= {jobs[index].pk: error for index, error in result.rejected}


def _requests_anew(
    jobs: Sequence[Job], payloads: Mapping[UUID, Mapping[str, Any]], plan: Plan, bulk: BulkRetry
) -> tuple[list[JobRequest], list[Job]]:
    """Return the requests of replays with their jobs; a job whose payload cannot be opened is refused alone."""
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
    """Return the request of a replay; an internal kind is taken with the payload that it had, with no other."""
    return JobRequest(
        kind=job.kind,
        payload=job.payload if payload is None else payload,
        priority=job.priority,
        fair_key=job.fair_key,
        tags=job.tags,
        max_retries=_retries_of_replay(job, plan),
        is_internal=payload is None,
    )


def _retries_of_replay(job: Job, plan: Plan) -> int | None:
    """As many as the old job had, within what kind and plan allow by now."""
    try:
        kind = registry.get(job.kind)
    except KindUnknownError:
        return None  # submission refuses it in its own words
    return min(job.max_retries, retry_policy_on(plan, kind).max_retries)
