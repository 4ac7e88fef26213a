"""Service that retries, pauses, resumes and deletes one document, mostly by acting on its job.

Re-indexing is in `reindexing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.apps import apps
from django.db import transaction

from scheduling.exceptions import InvalidTransitionError
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.retries import retry_job
from scheduling.jobs.suspension import resume_job, suspend_job, wake_jobs
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.exceptions import DomainError
from workloads.documents.indexing.exceptions import DocumentBusyError, DocumentNotFoundError
from workloads.documents.indexing.processor import DocumentIndexing
from workloads.documents.metadata import check_metadata
from workloads.documents.models import Document, DocumentStatus, index_values
from workloads.documents.queries import lock_dataset
from workloads.documents.space import release_chunks
from workloads.files.store import discard_on_commit
from workloads.job_outcome import DEAD_STATES

_HANDED_OUT = ("dispatched", "executing")
# Lock order: the job before its document, as a checkpoint does.


@transaction.atomic
def retry_document(*, document_id: UUID, reason: str = "") -> Document:
    """Retry a document whose job has failed or waits for a retry. Chunks that are stored already are kept.

    Raise `DocumentNotFoundError`, `DocumentBusyError`, or the errors of `retry_job`, such as `InvalidTransitionError`
    for a job that runs.
    """
    job_id = _own_job_of(document_id)
    with suppress_nested_entries():
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
    """Pause the indexing of a document until it is resumed: at once if its job waits, after its next chunks if it runs.

    Other documents of its batch continue. Raise `InvalidTransitionError` if its job has ended.
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
    """Resume a paused document, or withdraw the request for a pause that has not begun."""
    job_id = _own_job_of(document_id)
    was_asked = Document.objects.filter(pk=document_id, is_pause_asked=True).update(is_pause_asked=False)
    try:
        with transaction.atomic():
            resume_job(job_id=job_id, reason=reason)
    except InvalidTransitionError:
        if not was_asked:
            raise
        # The job has not paused yet, or is about to: wake it.
        wake_jobs(job_ids=[job_id])
        document = _read(document_id)
        record_audit(action="document.pause_withdrawn", target=document, after={"job": str(job_id)}, reason=reason)


@transaction.atomic
def change_metadata(*, document_id: UUID, metadata: object, reason: str = "") -> None:
    """Change the values of a document's metadata; None removes one. Searches follow at once, without indexing.

    Raise `DocumentNotFoundError`, or `FieldInvalidError` if the values do not fit the fields of its dataset.
    """
    # The dataset first, as uploads do: its fields must not change meanwhile.
    dataset = lock_dataset(_read(document_id).dataset_id, takes_documents=False)
    document = _lock(document_id)
    before = document.metadata
    changed = before | check_metadata(dataset.fields, metadata)
    document.metadata = {name: value for name, value in changed.items() if value is not None}
    if document.metadata == before:
        return
    document.save(update_fields=["metadata"])
    index_values([document])
    record_audit(
        action="document.metadata_changed",
        target=document,
        before={"metadata": before},
        after={"metadata": document.metadata},
        reason=reason,
    )


@transaction.atomic
def enable_document(*, document_id: UUID, is_enabled: bool, reason: str = "") -> None:
    """Let searches find a document, or not. It keeps its chunks. Raise `DocumentNotFoundError`."""
    document = _lock(document_id)
    if document.is_enabled == is_enabled:
        return
    document.is_enabled = is_enabled
    document.save(update_fields=["is_enabled"])
    action = "document.enabled" if is_enabled else "document.disabled"
    record_audit(action=action, target=document, after={"is_enabled": is_enabled}, reason=reason)


@transaction.atomic
def delete_document(*, document_id: UUID, reason: str = "") -> None:
    """Delete a document with its chunks, cancel its job, and delete its file unless other rows refer to it."""
    document = _read(document_id)
    record_audit(
        action="document.deleted",
        target=document,
        before={"name": document.name, "dataset": str(document.dataset_id), "status": document.status},
        reason=reason,
    )
    if not remove_documents([document_id], reason="Its document was deleted."):
        raise DocumentNotFoundError


def remove_documents(document_ids: Sequence[UUID], *, reason: str) -> int:
    """Delete documents of one tenant as `delete_document` does, without audit entries.

    Return how many were deleted.
    """
    rows = Document.objects.filter(pk__in=document_ids)
    for job_id in _unended(list(rows.values_list("job_id", flat=True))):
        cancel_indexing(job_id, reason=reason)
    documents = list(rows.select_for_update().order_by("pk"))
    release_chunks(documents)
    for document in documents:
        if document.storage_key:
            discard_on_commit(document.tenant_id, document.storage_key)
    rows.delete()
    return len(documents)


def cancel_indexing(job_id: UUID, *, reason: str) -> None:
    """Cancel the job of a document, unless it has ended or does more than to index this document."""
    if _is_others(job_id):
        return
    try:
        # In a savepoint, so that an error leaves no partial change.
        with transaction.atomic(), suppress_nested_entries():
            cancel_job(job_id=job_id, reason=reason)
    except DomainError as refusal:
        # It has ended, or was pruned: there is nothing to cancel.
        if refusal.code not in {"invalid_transition", "not_found"}:
            raise


def _unended(job_ids: Sequence[UUID]) -> list[UUID]:
    """Return those of the jobs that have not ended."""
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk__in=job_ids)
    return list(jobs.exclude(state__in=["completed", *DEAD_STATES]).order_by("pk").values_list("pk", flat=True))


def _is_handed_out(job_id: UUID) -> bool:
    """Return True if a worker has the job or is about to get it."""
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk=job_id)  # by name, as selectors do
    return bool(jobs.filter(state__in=_HANDED_OUT).exists())


def _own_job_of(document_id: UUID) -> UUID:
    """Return the job that indexes only this document; raise DocumentBusyError if a pipeline's run loads it."""
    job_id = _read(document_id).job_id
    if _is_others(job_id):
        raise DocumentBusyError("The document belongs to a job that does more than indexing: use that job or its run.")
    return job_id


def _is_others(job_id: UUID) -> bool:
    """Return True if the job is of another kind, which does more than index this document."""
    # By name: a plug-in imports no models of the scheduler.
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk=job_id)
    return bool(jobs.exclude(kind=DocumentIndexing.kind).exists())


def _read(document_id: UUID) -> Document:
    return _found(Document.objects.filter(pk=document_id).first())


def _lock(document_id: UUID) -> Document:
    return _found(Document.objects.select_for_update(no_key=True).filter(pk=document_id).first())


def _found(document: Document | None) -> Document:
    if document is None:
        raise DocumentNotFoundError
    return document
