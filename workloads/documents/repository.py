"""A processor's reads and writes of documents. Reads enter the tenant's context; effects run in the job's own.

Each effect names the state that it expects: a late one changes nothing and raises DocumentGoneError, which rolls its
transaction back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Coalesce, Now
from psycopg.rows import scalar_row

from tenants.context import tenant_context
from tenants.database.ids import uuid7s
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql
from tenants.models import Tenant
from workloads.documents.batch_limit import check_batch_limit
from workloads.documents.exceptions import DocumentGoneError
from workloads.documents.models import Chunk, Document, DocumentStatus
from workloads.documents.space import release_stored_content, take_chunks
from workloads.documents.splitting import Passage, SplitSettings
from workloads.documents.terms import to_tsvector
from workloads.documents.vector_reuse import digest_of_text
from workloads.files.store import StoredContent, discard_on_commit

if TYPE_CHECKING:
    from workloads.documents.embedding import Vectors

_MAX_ERROR_LENGTH = 1_000
_APPEND_CHUNKS = load_sql(__file__)["append_chunks"]


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """What indexing reads of a document; ``job_id`` is the job that indexes it."""

    id: UUID
    job_id: UUID
    status: DocumentStatus
    name: str
    content_type: str
    storage_key: str
    sha256: str
    size_bytes: int
    batch_id: UUID
    split_settings: SplitSettings
    embedding_model: str
    passages_digest: str
    chunks_done: int
    kept_chunks: int = 0
    source_url: str = ""
    is_fetch_due: bool = False
    is_pause_asked: bool = False


def read_source(tenant_id: UUID, document_id: UUID, *, job_id: UUID) -> DocumentSource:
    """Return the document as a job needs it; raise DocumentGoneError if it was deleted."""
    with tenant_context(tenant_id):
        document = Document.objects.select_related("dataset").filter(pk=document_id).first()
    if document is None:
        raise DocumentGoneError(f"There is no document {document_id}.")
    return source_of(document, job_id=job_id)


def source_of(document: Document, *, job_id: UUID) -> DocumentSource:
    """Return the source for a document that has been read."""
    return DocumentSource(
        id=document.pk,
        job_id=job_id,
        status=DocumentStatus(document.status),
        name=document.name,
        content_type=document.content_type,
        storage_key=document.storage_key,
        sha256=document.sha256,
        size_bytes=document.size_bytes,
        batch_id=document.batch_id,
        split_settings=document.dataset.split_settings,
        embedding_model=document.dataset.embedding_model,
        passages_digest=document.passages_digest,
        chunks_done=document.chunks_done,
        kept_chunks=document.kept_chunks,
        source_url=document.source_url,
        is_fetch_due=document.is_fetch_due,
        is_pause_asked=document.is_pause_asked,
    )


def check_batch(tenant_id: UUID, batch_id: UUID) -> None:
    """Raise BatchTooLargeError if the batch holds more documents than the plan allows now."""
    with tenant_context(tenant_id):
        tenant = Tenant.objects.get(pk=tenant_id)
        check_batch_limit(tenant, Document.objects.filter(batch_id=batch_id).count())


def take_over(source: DocumentSource) -> None:
    """Effect: assign the document to this job.

    A requeued dead letter is a new job for the same document. If two run at once, the later one continues at the
    other's mark, and the next effect of the earlier one raises.
    """
    if not Document.objects.filter(pk=source.id).update(job_id=source.job_id):
        raise DocumentGoneError(f"The document {source.id} was deleted.")


def enter_phases(source: DocumentSource, phases: Sequence[tuple[DocumentStatus, float]]) -> None:
    """Effect: enter these phases, each so many seconds ago, the last of which is current.

    Clears the error of an earlier attempt.
    """
    times = {f"{status.value}_at": Now() - timedelta(seconds=seconds) for status, seconds in phases}
    _update(source, status=phases[-1][0], error_code="", error_message="", error_at=None, **times)


def begin_chunks(source: DocumentSource, *, digest: str, total: int) -> None:
    """Effect: store the number of passages and delete chunks of other passages, except those that are kept.

    Raise SpaceExceededError if the tenant has no room for so many beside those that are kept.
    """
    document = _lock(source)
    take_chunks(document, total)
    Chunk.objects.filter(document_id=source.id, is_served=not document.kept_chunks).delete()
    if not document.kept_chunks:
        _update(source, served_model=source.embedding_model)
    _update(
        source,
        status=DocumentStatus.INDEXING,
        indexing_at=Now(),
        passages_digest=digest,
        chunks_total=total,
        chunks_done=0,
    )


def resume_chunks(source: DocumentSource) -> None:
    """Effect: resume the same passages at the mark."""
    _update(
        source,
        status=DocumentStatus.INDEXING,
        indexing_at=Coalesce(F("indexing_at"), Now()),
        error_code="",
        error_message="",
        error_at=None,
    )


def append_chunks(source: DocumentSource, passages: Sequence[Passage], vectors: Vectors) -> bool:
    """Effect: store the next passages, which begin exactly at the document's mark.

    Return True if a pause of the document was requested meanwhile.
    """
    parameters: dict[str, Any] = {
        "document_id": source.id,
        "job_id": source.job_id,
        "count": len(passages),
        "first": passages[0].position,
        "ids": uuid7s(len(passages)),
        "positions": [passage.position for passage in passages],
        "texts": [passage.text for passage in passages],
        "locations": [json.dumps(passage.location) for passage in passages],
        "embeddings": [f"[{','.join(map(str, vector))}]" for vector in vectors.tolist()],
        "searches": [to_tsvector(passage.text, heading=passage.heading) for passage in passages],
        "digests": [digest_of_text(source.embedding_model, passage.text) for passage in passages],
    }
    with planned_cursor(scalar_row) as cursor:
        cursor.execute(_APPEND_CHUNKS, parameters)
        rows = cursor.fetchall()
    if len(rows) != len(passages):
        raise DocumentGoneError(f"The document {source.id} was changed by another job.")
    return bool(rows[0])


def complete(source: DocumentSource) -> None:
    """Effect: mark the document completed, serve its chunks to searches, and delete the kept ones."""
    document = _lock(source)
    if document.kept_chunks:
        Chunk.objects.filter(document_id=source.id, is_served=True).delete()
        Chunk.objects.filter(document_id=source.id).update(is_served=True)
        release_stored_content(document)
    _update(
        source,
        status=DocumentStatus.COMPLETED,
        completed_at=Now(),
        kept_chunks=0,
        served_model=source.embedding_model,
    )


def take_content(source: DocumentSource, content: StoredContent, *, content_type: str) -> None:
    """Effect: store what was fetched from the document's address, in place of earlier content."""
    document = _lock(source)
    if document.storage_key and document.storage_key != content.key:
        discard_on_commit(document.tenant_id, document.storage_key)
    _update(
        source,
        storage_key=content.key,
        sha256=content.sha256,
        size_bytes=content.size_bytes,
        content_type=content_type,
        is_fetch_due=False,
    )


def fail(source: DocumentSource, *, code: str, message: str) -> None:
    """Effect: mark the document as failed."""
    _update(
        source,
        status=DocumentStatus.ERROR,
        error_at=Now(),
        error_code=code,
        error_message=message[:_MAX_ERROR_LENGTH],
    )


def await_retry(source: DocumentSource, *, code: str, message: str) -> None:
    """Effect: record a failed attempt; the document waits for the next one, with the reason shown."""
    _update(
        source,
        status=DocumentStatus.WAITING,
        error_code=code,
        error_message=message[:_MAX_ERROR_LENGTH],
    )


def _lock(source: DocumentSource) -> Document:
    document: Document | None = (
        Document.objects.select_for_update(no_key=True).filter(pk=source.id, job_id=source.job_id).first()
    )
    if document is None:
        raise DocumentGoneError(f"The document {source.id} was deleted or is indexed by another job.")
    return document


def _update(source: DocumentSource, **changes: object) -> None:
    if not Document.objects.filter(pk=source.id, job_id=source.job_id).update(**changes):
        raise DocumentGoneError(f"The document {source.id} was deleted or is indexed by another job.")
