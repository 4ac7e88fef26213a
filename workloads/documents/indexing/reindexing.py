"""Re-indexing of documents: with other settings, with another file, or from their URLs.

The old chunks of a document serve searches until its new ones are complete; one transaction swaps them. A document
whose new indexing fails keeps its old chunks. Changes of chunks by hand end with them: each function refuses to lose
such changes unless ``discard_edits`` is True.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.files.base import File
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.models import Tenant
from workloads.documents.chunks.queries import count_changed, find_changed
from workloads.documents.indexing.exceptions import (
    DocumentBusyError,
    DocumentDuplicateError,
    DocumentHasNoAddressError,
    EditsWouldBeLostError,
)
from workloads.documents.indexing.inspection import check_chunks, inspect_documents
from workloads.documents.indexing.intake import check_encoding, label_of, submit_documents
from workloads.documents.indexing.queries import find_documents, get_document
from workloads.documents.indexing.service import cancel_indexing
from workloads.documents.models import Dataset, Document, DocumentStatus
from workloads.documents.queries import lock_dataset
from workloads.files.contents import NewContent
from workloads.files.store import discard_on_commit, discard_on_error, storage_key, store_contents

_PHASES = ("parsing_at", "cleaning_at", "splitting_at", "indexing_at", "completed_at", "error_at")
_RENEWED = (
    *_PHASES,
    *("job_id", "status", "settings_key", "chunks_done", "chunks_total", "kept_chunks", "passages_digest"),
    *("error_code", "error_message", "is_fetch_due", "is_pause_asked"),
    *("name", "content_type", "size_bytes", "sha256", "storage_key", "given_encoding"),
)


@transaction.atomic
def reindex_document(
    *,
    tenant: Tenant,
    document_id: UUID,
    refetch: bool = False,
    encoding: str = "",
    discard_edits: bool = False,
    is_rate_limited: bool = False,
    reason: str = "",
) -> Document:
    """Re-index a document with its dataset's current settings; with ``refetch``, its URL is fetched first. Return it.

    ``encoding`` replaces that of its file, if it is not empty. A job that still indexes it is cancelled. Raise
    `FieldInvalidError` for an unknown encoding, `DocumentDuplicateError`, `DocumentHasNoAddressError`,
    `EditsWouldBeLostError`, `DocumentBusyError`, or the errors of `submit_jobs`.
    """
    encoding = check_encoding(encoding)
    document, dataset = _take(tenant, document_id)
    document.given_encoding = encoding or document.given_encoding
    lost = count_lost([document], dataset, discard_edits=discard_edits)
    if refetch and not document.source_url:
        raise DocumentHasNoAddressError
    document.is_fetch_due = document.is_fetch_due or refetch
    _refuse_twin(document, dataset)
    _renew(tenant, dataset, [document], is_rate_limited=is_rate_limited)
    record_audit(
        action="document.reindexed",
        target=document,
        after={"job": str(document.job_id), "refetch": refetch, "edits_discarded": lost},
        reason=reason,
    )
    return document


def replace_document(
    *,
    tenant: Tenant,
    document_id: UUID,
    file: File[bytes],
    encoding: str = "",
    discard_edits: bool = False,
    is_rate_limited: bool = False,
    reason: str = "",
) -> Document:
    """Replace a document's file and index it. The old chunks serve searches until the new ones are complete.

    Raise `UploadRefusedError`, `SpaceExceededError`, `DocumentDuplicateError`, `EditsWouldBeLostError`,
    `FieldInvalidError` for an unknown encoding, or the errors of `submit_jobs`; then nothing has changed.
    """
    encoding = check_encoding(encoding)
    with discard_on_error(tenant.pk) as written, tenant_context(tenant):
        incoming = inspect_documents([file])[0]
        document, dataset = _take(tenant, document_id)
        check_chunks(tenant, dataset, [incoming])
        count_lost([document], dataset, discard_edits=discard_edits)
        before = {"name": document.name, "sha256": document.sha256}
        content = NewContent(incoming.sha256, incoming.size_bytes, incoming.content)
        store_contents(tenant.pk, [content], written=written)
        old_key, new_key = document.storage_key, storage_key(tenant.pk, incoming.sha256)
        document.name, document.content_type = incoming.name, incoming.content_type
        document.size_bytes, document.sha256, document.storage_key = incoming.size_bytes, incoming.sha256, new_key
        document.given_encoding, document.is_fetch_due = encoding, False
        _refuse_twin(document, dataset)
        _renew(tenant, dataset, [document], is_rate_limited=is_rate_limited)
        if old_key and old_key != new_key:
            discard_on_commit(tenant.pk, old_key)
        record_audit(
            action="document.replaced",
            target=document,
            before=before,
            after={"name": document.name, "sha256": document.sha256, "job": str(document.job_id)},
            reason=reason,
        )
    return document


def renew_documents(*, tenant: Tenant, dataset: Dataset, found: Mapping[UUID, UUID], discard_edits: bool) -> int:
    """Re-index those of the documents that still have the job of ``found``, by id; return how many.

    Left out are documents that another request has taken meanwhile, all but one of equal content, and without
    ``discard_edits`` those with chunks that were changed by hand. Raise the errors of `submit_jobs`.
    """
    locked = list(Document.objects.select_for_update(no_key=True).filter(pk__in=found).order_by("pk"))
    changed = set() if discard_edits else find_changed(list(found), dataset_id=dataset.pk)
    documents = _without_twins(row for row in locked if row.job_id == found[row.pk] and row.pk not in changed)
    if documents:
        _renew(tenant, dataset, documents, is_rate_limited=False)
    return len(documents)


def _take(tenant: Tenant, document_id: UUID) -> tuple[Document, Dataset]:
    """Lock and return the document, which no job indexes any more, and its dataset."""
    seen = get_document(document_id)
    dataset = lock_dataset(seen.dataset_id)
    cancel_indexing(seen.job_id, reason="Its document is re-indexed.")
    document: Document | None = Document.objects.select_for_update(no_key=True).filter(pk=document_id).first()
    if document is None or document.job_id != seen.job_id:
        raise DocumentBusyError
    return document, dataset


def find_renewable(dataset: Dataset, *, everything: bool) -> QuerySet[Document]:
    """Return the outdated documents of a dataset; with ``everything``, all whose indexing has ended.

    A document is outdated if it was indexed with other settings of the dataset. Those that are being indexed are left
    out, and those whose content the dataset already has in the target form.
    """
    twins = Document.objects.filter(
        dataset=dataset, sha256=OuterRef("sha256"), settings_key=dataset.settings_key, source_url=""
    ).exclude(pk=OuterRef("pk"))
    ended: QuerySet[Any] = find_documents()
    ended = ended.filter(~Exists(twins) | ~Q(source_url=""), dataset=dataset, shown_status__in=["completed", "error"])
    return ended if everything else ended.exclude(settings_key=dataset.settings_key)


def _renew(tenant: Tenant, dataset: Dataset, documents: Sequence[Document], *, is_rate_limited: bool) -> None:
    """Give locked documents new jobs, which start from the beginning."""
    for document in documents:
        document.settings_key = dataset.settings_key
        _reset(document)
    with suppress_nested_entries():
        label = label_of(len(documents), dataset, what="re-indexed in")
        submit_documents(tenant, documents, label=label, is_rate_limited=is_rate_limited)
    Document.objects.bulk_update(documents, _RENEWED, batch_size=100)


def count_lost(documents: Sequence[Document] | QuerySet[Document], dataset: Dataset, *, discard_edits: bool) -> int:
    """Return how many chunks of the documents were changed by hand; refuse to lose any without ``discard_edits``."""
    lost = count_changed(documents, dataset_id=dataset.pk)
    if lost and not discard_edits:
        raise EditsWouldBeLostError(
            "%(count)s chunks were edited or switched off by hand; re-indexing replaces them. Send it again with "
            "discard_edits to lose these changes.",
            {"count": lost},
        )
    return lost


def _refuse_twin(document: Document, dataset: Dataset) -> None:
    if document.source_url:
        return
    same = Document.objects.filter(dataset=dataset, sha256=document.sha256, settings_key=dataset.settings_key)
    twin = same.filter(source_url="").exclude(pk=document.pk).first()
    if twin is not None:
        raise DocumentDuplicateError(
            "The document %(document)s already has this content with the same chunk settings.", {"document": twin.pk}
        )


def _without_twins(documents: Iterable[Document]) -> list[Document]:
    """Keep the first of the files with one content: with the same settings the others would have equal chunks."""
    chosen: dict[object, Document] = {}
    for document in documents:
        chosen.setdefault(document.source_url or document.sha256, document)
    return list(chosen.values())


def _reset(document: Document) -> None:
    if document.status == DocumentStatus.COMPLETED:
        document.kept_chunks, document.chunks_done, document.chunks_total = document.chunks_done, 0, None
    document.status = DocumentStatus.WAITING
    document.passages_digest = document.error_code = document.error_message = ""
    document.is_pause_asked = False
    for phase in _PHASES:
        setattr(document, phase, None)
