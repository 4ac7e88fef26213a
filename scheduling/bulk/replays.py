"""Bulk retries: jobs in backoff become ready at once, ended jobs are submitted again as new jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from scheduling.bulk.actions import ActionResult, IrreversibleAction
from scheduling.bulk.effect import BacklogChange
from scheduling.jobs.lifecycle import DEAD_STATES, REPLAYABLE_STATES, JobState
from scheduling.jobs.payload_patches import patched_payload
from scheduling.jobs.requests import JobRequest, check_request
from scheduling.jobs.retries import BulkRetry, refusal_of_replay, retry_jobs
from scheduling.models import Job
from tenants.access.permissions import Permission
from tenants.audit.service import suppress_nested_entries
from tenants.context import current_actor
from tenants.database.clock import read_clock
from tenants.encryption.fields import open_readable_rows
from tenants.exceptions import DomainError

type Payload = Mapping[str, Any]
PAYLOAD_UNREADABLE = "payload_unreadable"


@dataclass(frozen=True)
class RetryJobs(IrreversibleAction):
    """Retry jobs in backoff at once, and replay jobs that ended without success as new jobs.

    A ``payload_patch`` (RFC 7396) is merged into the payload of each replay; jobs in backoff are then skipped.
    """

    payload_patch: Payload | None = field(default=None, repr=False)
    permission = Permission.JOBS_RETRY
    # A job in backoff is in its line already.
    shift = BacklogChange(brings=REPLAYABLE_STATES, makes_new_jobs=True)

    @property
    def states(self) -> frozenset[JobState]:
        return REPLAYABLE_STATES if self.payload_patch is not None else REPLAYABLE_STATES | {JobState.RETRYABLE}

    def refusal_of(self, job: Job) -> DomainError | None:
        if job.state == JobState.RETRYABLE:
            return None
        if (refusal := refusal_of_replay(job.kind)) is not None:
            return refusal
        try:
            request = JobRequest(
                kind=job.kind, payload=self._patched(job.payload), is_internal=self.payload_patch is None
            )
            check_request(request, now=read_clock(), plan=job.tenant.plan)
        except DomainError as refusal:
            return refusal
        return None

    def _patched(self, payload: Payload) -> Payload:
        return payload if self.payload_patch is None else patched_payload(payload, self.payload_patch)

    def _payloads(self, job_ids: Sequence[UUID]) -> dict[UUID, Payload]:
        if self.payload_patch is None:
            return {}
        rows = Job.objects.filter(pk__in=job_ids).values_list("pk", "tenant_id", "payload")
        return {job_id: self._patched(payload) for job_id, payload in open_readable_rows(Job, "payload", rows)}

    def act(self, job_ids: Sequence[UUID], *, reason: str) -> ActionResult:
        payloads = self._payloads(job_ids)
        # Without its payload a job would be replayed unpatched.
        unreadable: set[UUID] = set() if self.payload_patch is None else set(job_ids) - payloads.keys()
        with suppress_nested_entries():
            chosen = [job_id for job_id in job_ids if job_id not in unreadable]
            bulk = retry_jobs(job_ids=chosen, reason=reason, payloads=payloads)
        put_off, wait = _put_off(job_ids, bulk)
        kept_back = set(put_off)
        refused = Counter(error.code for job_id, error in bulk.refused.items() if job_id not in kept_back)
        refused[PAYLOAD_UNREADABLE] = len(unreadable - kept_back)
        return ActionResult(bulk.hastened | set(bulk.replayed), +refused, put_off=put_off, retry_after_seconds=wait)


class RequeueDeadLetters(RetryJobs):
    """Replay each job that has a dead letter as a new job, once."""

    shift = BacklogChange(brings=DEAD_STATES, makes_new_jobs=True)

    @property
    def states(self) -> frozenset[JobState]:
        return DEAD_STATES


def _put_off(job_ids: Sequence[UUID], bulk: BulkRetry) -> tuple[Sequence[UUID], int | None]:
    """Return the jobs to process again later, from the first that a limit refused, and the seconds until then.

    None of the returned jobs has been replayed.
    """
    if not current_actor().is_of_tenant:
        return (), None
    after_replayed = max((n for n, job_id in enumerate(job_ids, start=1) if job_id in bulk.replayed), default=0)
    limited = (n for n in range(after_replayed, len(job_ids)) if _is_limited(bulk.refused.get(job_ids[n])))
    first = next(limited, None)
    if first is None:
        return (), None
    return job_ids[first:], bulk.refused[job_ids[first]].retry_after_seconds or 1


def _is_limited(refusal: DomainError | None) -> bool:
    return refusal is not None and refusal.category == "limited"
