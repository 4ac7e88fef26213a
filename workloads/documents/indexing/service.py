"""Changes of one document: tried again, paused, resumed, deleted. Its job does what is the job's.

Renewing one is `renewal`.
"""

from __future__ import annotations

from uuid import UUID

from django.apps import apps
from django.db import transaction

from scheduling.exceptions import InvalidTransitionError
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.retries import retry_job
from scheduling.jobs.suspension import resume_job, suspend_job, wake_jobs
from tenants.audit.service import part_of_act, record_audit
from tenants.exceptions import DomainError
from workloads.documents.indexing.exceptions import DocumentBusyError, DocumentNotFoundError
from workloads.documents.indexing.processor import DocumentIndexing
from workloads.documents.models import Document, DocumentStatus
from workloads.documents.space import release_chunks
from workloads.files.store import discard_on_commit

_HANDED_OUT = ("dispatched", "executing")
# Everywhere the job comes before its document: a checkpoint locks them in that order, too.


@transaction.atomic
def retry_document(*, document_id: UUID, reason: str = "") -> Document:
    """Index a document again whose job failed or backs off; what was stored of it stays.

    Raises DocumentNotFoundError, or what the job refuses, such as InvalidTransitionError for one that runs.
    """
    job_id = _own_job_of(document_id)
    with part_of_act():
        result = retry_job(job_id=job_id, reason=reason)
    document = _lock(document_id)
    if document.job_id != job_id:
        raise DocumentBusyError
    document.job_id = result.job.pk
    document.status = DocumentStatus.WAITING
    document.error_code = document.error_message = ""
    document.error_at = None
    document.is_pause_asked = False
    document.save(update_fields=["job_id", "status", "error_code", "error_message", "error_at", "is_pause_asked"])
    record_audit(action="document.retried", target=document, after={"job": str(document.job_id)}, reason=reason)
    return document


@transaction.atomic
def pause_document(*, document_id: UUID, reason: str = "") -> None:
    """Keep a document from being indexed until it is resumed: one that waits at once, one that runs at its next chunks.

    The others of its batch go on. Raises InvalidTransitionError for a document whose job has ended.
    """
    job_id = _own_job_of(document_id)
    try:
        with transaction.atomic():
            suspend_job(job_id=job_id, reason=reason)
    except InvalidTransitionError:
        if not _is_handed_out(job_id):
            raise
        document = _lock(document_id)
        if document.job_id != job_id:
            raise DocumentBusyError from None
        document.is_pause_asked = True
        document.save(update_fields=["is_pause_asked"])
        record_audit(action="document.pause_asked", target=document, after={"job": str(job_id)}, reason=reason)


@transaction.atomic
def resume_document(*, document_id: UUID, reason: str = "") -> None:
    """Let a paused document be indexed, or take a pause back that has not begun."""
    job_id = _own_job_of(document_id)
    was_asked = Document.objects.filter(pk=document_id, is_pause_asked=True).update(is_pause_asked=False)
    try:
        with transaction.atomic():
            resume_job(job_id=job_id, reason=reason)
    except InvalidTransitionError:
        if not was_asked:
            raise
        # It has not noticed yet, or is about to pause: then it goes on at once.
        wake_jobs(job_ids=[job_id])
        document = _read(document_id)
        record_audit(action="document.pause_withdrawn", target=document, after={"job": str(job_id)}, reason=reason)


@transaction.atomic
def delete_document(*, document_id: UUID, reason: str = "") -> None:
    """Delete a document with its chunks, cancel its job, and delete its file if it was the last to use it."""
    cancel_indexing(_read(document_id).job_id, reason="Its document was deleted.")
    document = _lock(document_id)
    record_audit(
        action="document.deleted",
        target=document,
        before={"name": document.name, "dataset": str(document.dataset_id), "status": document.status},
        reason=reason,
    )
    release_chunks(document)
    if document.storage_key:
        discard_on_commit(document.tenant_id, document.storage_key)
    document.delete()


def cancel_indexing(job_id: UUID, *, reason: str) -> None:
    """Cancel the job of a document, unless it has ended or has more to do than this document."""
    if _is_others(job_id):
        return
    try:
        # In a savepoint, so that a refusal leaves nothing half-done.
        with transaction.atomic(), part_of_act():
            cancel_job(job_id=job_id, reason=reason)
    except DomainError as refusal:
        # It has ended, or was pruned: then there is nothing to cancel.
        if refusal.code not in {"invalid_transition", "not_found"}:
            raise


def _is_handed_out(job_id: UUID) -> bool:
    """Whether a worker has the job, or is about to."""
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk=job_id)  # by name, as selectors do
    return bool(jobs.filter(state__in=_HANDED_OUT).exists())


def _own_job_of(document_id: UUID) -> UUID:
    """The job of a document that is indexed by one of its own; DocumentBusyError where a pipeline's run loads it."""
    job_id = _read(document_id).job_id
    if _is_others(job_id):
        raise DocumentBusyError("The document is loaded by a job that does more than that: use that job, or its run.")
    return job_id


def _is_others(job_id: UUID) -> bool:
    """Whether the job is of another kind, which has more to do than this document."""
    # By name, for a plug-in imports no models of the scheduler.
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk=job_id)
    return bool(jobs.exclude(kind=DocumentIndexing.kind).exists())


def _read(document_id: UUID) -> Document:
    return _found(Document.objects.filter(pk=document_id).first())


def _lock(document_id: UUID) -> Document:
    return _found(Document.objects.select_for_update().filter(pk=document_id).first())


def _found(document: Document | None) -> Document:
    if document is None:
        raise DocumentNotFoundError
    return document
