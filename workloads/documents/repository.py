"""A processor's database reads and writes of documents.

Reads set the scope of the document's tenant. Writes run in the transaction of the job's checkpoint, and each checks
that the document still belongs to the job: if not, it changes nothing and raises `DocumentGoneError`, which rolls the
transaction back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Coalesce, Now
from psycopg.rows import scalar_row

from tenants.context import tenant_context
from tenants.database.ids import id_of, uuid7s
from tenants.database.prepared import fetch_all
from tenants.database.reads import first_or_raise, from_row
from tenants.database.sql import load_sql
from tenants.encryption.fields import sealed_field
from tenants.models import Tenant
from workloads.documents.batch_limit import check_batch_limit
from workloads.documents.blocks import MAX_WARNING_CHARACTERS, MAX_WARNINGS, Facts
from workloads.documents.embedding import text_to_embed
from workloads.documents.exceptions import DocumentGoneError, ModelReplacedError
from workloads.documents.models import Chunk, ChunkVersion, Document, DocumentStatus
from workloads.documents.space import release_stored_content, take_chunks
from workloads.documents.split_settings import SplitSettings
from workloads.documents.splitting import Passage
from workloads.documents.terms import to_tsvector
from workloads.documents.vector_reuse import digest_of_text
from workloads.files.store import StoredContent, discard_on_commit

if TYPE_CHECKING:
    from workloads.documents.embedding import Vectors

_SQL = load_sql(__file__)
_APPEND_CHUNKS, _HOLD_MODEL = _SQL["append_chunks"], _SQL["hold_model"]


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """What indexing needs to know of a document; ``job_id`` is the job that indexes it."""

    id: UUID
    tenant_id: UUID
    dataset_id: UUID
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
    given_encoding: str = ""
    summary_model: str = ""
    summary: str = field(default="", repr=False)
    summary_key: str = ""
    max_ocr_pages: int = 0
    reads_comments: bool = False


def read_source(tenant_id: UUID, document_id: UUID, *, job_id: UUID) -> DocumentSource:
    """Return what a job needs to know of a document; raise `DocumentGoneError` if it was deleted."""
    with tenant_context(tenant_id):
        document = Document.objects.select_related("dataset").filter(pk=document_id).first()
    if document is None:
        raise DocumentGoneError(f"There is no document {document_id}.")
    return source_of(document, job_id=job_id)


def datasets_of(document_ids: Sequence[object]) -> list[UUID | None]:
    """Return for each value from outside the dataset of the document that it names, None if it names none."""
    named = [id_of(value) for value in document_ids]
    rows = Document.objects.filter(pk__in={value for value in named if value}).values_list("pk", "dataset_id")
    found = dict(rows)
    return [found.get(value) if value else None for value in named]


def source_of(document: Document, *, job_id: UUID) -> DocumentSource:
    """Return the `DocumentSource` of a document that has been read, for a job."""
    return from_row(
        DocumentSource,
        document,
        job_id=job_id,
        status=DocumentStatus(document.status),
        split_settings=document.dataset.split_settings,
        embedding_model=document.dataset.embedding_model,
        summary_model=document.dataset.summary_model,
        max_ocr_pages=document.dataset.max_ocr_pages,
        reads_comments=document.dataset.reads_comments,
    )


def check_batch(tenant_id: UUID, batch_id: UUID) -> None:
    """Raise `BatchTooLargeError` if the batch has more documents than the plan allows now."""
    with tenant_context(tenant_id):
        tenant = Tenant.objects.get(pk=tenant_id)
        check_batch_limit(tenant, Document.objects.filter(batch_id=batch_id).count())


def take_over(source: DocumentSource) -> None:
    """Assign the document to this job, in the current transaction.

    A dead letter that is requeued gives a second job for the same document. If two jobs run at once, the later one
    continues where the other has stopped, and the next write of the earlier one raises `DocumentGoneError`.
    """
    if not Document.objects.filter(pk=source.id).update(job_id=source.job_id):
        raise DocumentGoneError(f"The document {source.id} was deleted.")


def enter_phases(source: DocumentSource, phases: Sequence[tuple[DocumentStatus, float]]) -> None:
    """Store that the document has entered these phases, each given with the number of seconds since then.

    The last one becomes its status. The error of an earlier attempt is cleared.
    """
    times = {f"{status.value}_at": Now() - timedelta(seconds=seconds) for status, seconds in phases}
    _update(source, status=phases[-1][0], error_code="", error_message="", error_at=None, **times)


def begin_chunks(source: DocumentSource, *, digest: str, total: int, facts: Facts, seconds: float = 0.0) -> None:
    """Store the number of passages and the facts of the file, and delete chunks of other passages.

    Chunks that serve searches meanwhile stay. The indexing began ``seconds`` ago. Raise `SpaceExceededError` if the
    tenant has no room for so many chunks beside those.
    """
    document = _lock(source)
    take_chunks(document, total)
    Chunk.objects.filter(document_id=source.id, is_served=not document.kept_chunks).delete()
    _update(
        source,
        status=DocumentStatus.INDEXING,
        indexing_at=Now() - timedelta(seconds=seconds),
        encoding=facts.encoding,
        pages=facts.pages,
        pages_without_text=facts.pages_without_text,
        pages_recognized=facts.pages_recognized,
        warnings=facts.warnings,
        passages_digest=digest,
        chunks_total=total,
        chunks_done=0,
    )


def resume_chunks(source: DocumentSource) -> None:
    """Set the document's status back to indexing, to continue after its stored chunks. Its error is cleared."""
    _update(
        source,
        status=DocumentStatus.INDEXING,
        indexing_at=Coalesce(F("indexing_at"), Now()),
        error_code="",
        error_message="",
        error_at=None,
    )


def append_chunks(source: DocumentSource, passages: Sequence[Passage], vectors: Vectors) -> bool:
    """Store the next passages as chunks, exactly after those already stored. Return whether a pause was requested.

    Raise `DocumentGoneError` if another job has changed the document, `ModelReplacedError` if its
    dataset has another embedding model now.
    """
    require_held_model(source)
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
        "digests": [
            digest_of_text(source.embedding_model, text_to_embed(passage.text, passage.location))
            for passage in passages
        ],
    }
    rows = fetch_all(_APPEND_CHUNKS, parameters, scalar_row, is_planned=True)
    if len(rows) != len(passages):
        raise DocumentGoneError(f"The document {source.id} was changed by another job.")
    return bool(rows[0])


def hold_model(dataset_id: UUID, model: str) -> bool:
    """Keep the embedding model of a dataset until the transaction ends, so that vectors of it can be stored.

    Return False if the dataset has another model now. The dataset is locked before its documents.
    """
    return bool(fetch_all(_HOLD_MODEL, {"dataset_id": dataset_id, "model": model}, is_planned=True))


def require_held_model(source: DocumentSource) -> None:
    """Keep the embedding model of the document's dataset; raise `ModelReplacedError` if it has another model now."""
    if not hold_model(source.dataset_id, source.embedding_model):
        raise ModelReplacedError


def store_summary(source: DocumentSource, *, key: str, text: str) -> None:
    """Store the summary that a model has returned for the request with this key."""
    _update(source, summary_key=key, summary=text)


def complete(source: DocumentSource, *, refusal: str = "") -> None:
    """Mark the document completed, let its new chunks serve searches, and delete the chunks that served before.

    ``refusal`` is why it has no summary: it becomes a warning, and no chunk is expected for the summary any more.
    """
    document = _lock(source)
    if refusal:
        take_chunks(document, document.chunks_done)
        warning = f"It has no summary: {refusal}"[:MAX_WARNING_CHARACTERS]
        _update(source, chunks_total=F("chunks_done"), warnings=[*document.warnings[: MAX_WARNINGS - 1], warning])
    if document.kept_chunks:
        Chunk.objects.filter(document_id=source.id, is_served=True).delete()
        ChunkVersion.objects.filter(document_id=source.id).delete()
        Chunk.objects.filter(document_id=source.id).update(is_served=True)
        release_stored_content(document)
    _update(
        source,
        status=DocumentStatus.COMPLETED,
        completed_at=Now(),
        kept_chunks=0,
        **({} if source.summary_model and not refusal else {"summary": "", "summary_key": ""}),
    )


def take_content(source: DocumentSource, content: StoredContent, *, content_type: str) -> None:
    """Store what was fetched from the document's URL as its content, in place of earlier content."""
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
    """Mark the document as failed, with the error's code and message."""
    _update(
        source,
        status=DocumentStatus.ERROR,
        error_at=Now(),
        error_code=code,
        error_message=_stored_error(source, message),
    )


def await_retry(source: DocumentSource, *, code: str, message: str) -> None:
    """Store the error of a failed attempt and set the status to waiting, because the job is retried."""
    _update(
        source,
        status=DocumentStatus.WAITING,
        error_code=code,
        error_message=_stored_error(source, message),
    )


def _stored_error(source: DocumentSource, message: str) -> Any:
    field = sealed_field(Document, "error_message")
    return field.ready(message, tenant_id=source.tenant_id, row_id=source.id)


def _lock(source: DocumentSource) -> Document:
    return first_or_raise(
        Document.objects.select_for_update(no_key=True).filter(pk=source.id, job_id=source.job_id),
        DocumentGoneError(f"The document {source.id} was deleted or is indexed by another job."),
    )


def _update(source: DocumentSource, **changes: object) -> None:
    if not Document.objects.filter(pk=source.id, job_id=source.job_id).update(**changes):
        raise DocumentGoneError(f"The document {source.id} was deleted or is indexed by another job.")
