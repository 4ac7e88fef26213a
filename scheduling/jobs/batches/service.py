"""Creation and filling of batches.

A batch's row is locked while jobs are added to it, so that all of them are counted before it can end.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db.models import F

from scheduling.exceptions import BatchClosedError, BatchNotFoundError
from scheduling.jobs.batches.completion import CompletionJob, MemberCompensation, summarise
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest, check_request
from scheduling.jobs.submission import BulkSubmission, submit_jobs
from scheduling.models import Batch, BatchNews, Job
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7
from tenants.database.reads import first_or_raise
from tenants.models import Tenant


def create_batch(*, tenant: Tenant, label: str, kind: str, total: int) -> Batch:
    """Create a closed batch for ``total`` jobs of one kind, which the caller's transaction submits."""
    with tenant_context(tenant):
        return Batch.objects.create(tenant=tenant, label=label, kind=kind, total=total, closed_at=TransactionNow())


def open_batch(
    *,
    tenant: Tenant,
    label: str,
    requests: Sequence[JobRequest] = (),
    on_completion: CompletionJob | None = None,
    compensation: MemberCompensation | None = None,
    closes: bool = False,
    is_rate_limited: bool = False,
) -> tuple[Batch, BulkSubmission]:
    """Create a batch with its first jobs, all of them or none; with ``closes`` it accepts no others.

    ``compensation`` undoes the members if the batch fails or is cancelled. Raise the DomainError of the first refused
    job, or of a completion job or compensation that would be refused.
    """
    with tenant_context(tenant):
        if on_completion is not None:
            _check_completion(on_completion, tenant)
        if compensation is not None:
            check_request(compensation.example(), now=read_clock(), plan=tenant.plan)
        batch = Batch.objects.create(
            id=uuid7(),
            tenant=tenant,
            label=label,
            kind=_common_kind(requests),
            total=len(requests),
            on_completion=on_completion.to_json() if on_completion else None,
            only_if_completed=on_completion is not None and on_completion.only_if_completed,
            compensate=compensation.to_json() if compensation else None,
        )
        with suppress_nested_entries():
            bulk = submit_jobs(
                tenant=tenant, requests=requests, batch=batch, is_rate_limited=is_rate_limited, is_atomic=True
            )
        _count_added(batch, bulk, known=len(requests))
        if closes:
            close_locked_batch(batch)
        record_audit(action="batch.created", target=batch, after={"label": label, "jobs": batch.total})
        batch.refresh_from_db()
        return batch, bulk


def add_jobs(
    *, tenant: Tenant, batch_id: UUID, requests: Sequence[JobRequest], is_rate_limited: bool = False
) -> BulkSubmission:
    """Submit more jobs to an open batch; each is accepted or refused separately.

    Concurrent calls for one batch wait for each other. Raise BatchNotFoundError, and BatchClosedError for a closed
    batch.
    """
    with tenant_context(tenant):
        batch = lock_batch(batch_id)
        if batch.closed_at is not None:
            raise BatchClosedError("The batch is closed: it accepts no more jobs.")
        bulk = submit_jobs(tenant=tenant, requests=requests, batch=batch, is_rate_limited=is_rate_limited)
        _count_added(batch, bulk)
    return bulk


def close_batch(*, batch_id: UUID) -> Batch:
    """Close a batch, so that it ends with its last job, and return it; a closed batch cannot be opened again.

    Raise BatchNotFoundError unless the batch is visible in the current tenant context.
    """
    batch = lock_batch(batch_id)
    if batch.closed_at is None:
        close_locked_batch(batch)
        record_audit(action="batch.closed", target=batch, after={"jobs": batch.total})
        batch.refresh_from_db()
    return batch


def submit_children(*, job_id: UUID, requests: Sequence[JobRequest], waits: bool) -> None:
    """Submit the children of a job, in the transaction that ends the job's execution.

    With ``waits`` that transaction has suspended the job, which continues when all of its children have ended. If the
    job is not suspended then, because it was cancelled meanwhile, no child is submitted.
    """
    job = Job.objects.select_related("tenant__plan").get(pk=job_id)
    if waits and job.state != JobState.SUSPENDED:
        return
    batch = Batch.objects.create(
        tenant=job.tenant,
        label=f"Children of {job.kind} {job.pk}",
        kind=_common_kind(requests),
        total=len(requests),
        waiting_job_id=job.pk if waits else None,
    )
    with suppress_nested_entries():
        submit_jobs(tenant=job.tenant, requests=requests, batch=batch, parents=[job] * len(requests), is_atomic=True)
    close_locked_batch(batch)


def _check_completion(completion: CompletionJob, tenant: Tenant) -> None:
    example = Batch(id=uuid7(), tenant=tenant, label="", total=0, completed=0, failed=0, cancelled=0)
    check_request(completion.request(summarise(example)), now=read_clock(), plan=tenant.plan)


def lock_batch(batch_id: UUID) -> Batch:
    """Return a batch whose row is locked until this transaction ends.

    Raise BatchNotFoundError unless the batch is visible in the current tenant context.
    """
    return first_or_raise(Batch.objects.select_for_update(no_key=True).filter(pk=batch_id), BatchNotFoundError)


def close_locked_batch(batch: Batch) -> None:
    """Close a batch whose row the caller has locked.

    Its last job may have ended already, so a `BatchNews` row is added, which makes the next `fold_batches` end the
    batch.
    """
    Batch.objects.filter(pk=batch.pk).update(closed_at=TransactionNow())
    BatchNews.objects.create(tenant_id=batch.tenant_id, batch_id=batch.pk, state="")


def _count_added(batch: Batch, bulk: BulkSubmission, *, known: int = 0) -> None:
    """Add the accepted jobs to the total; a repeated idempotency key adds none: its job is not of this batch."""
    added = sum(submission.created for _, submission in bulk.accepted)
    if added != known:
        Batch.objects.filter(pk=batch.pk).update(total=F("total") + (added - known))


def _common_kind(requests: Sequence[JobRequest]) -> str:
    kinds = {request.kind for request in requests}
    return kinds.pop() if len(kinds) == 1 else ""
