"""Service that changes chunks by hand. Each change is one transaction with its audit entry, which has no text.

The new text is found by its words at once; the old vector serves searches until a job has computed the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib.postgres.search import SearchVectorField
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Cast

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.database.reads import first_or_raise
from tenants.models import Tenant
from tenants.tenancy.editions import refuse_stale
from tenants.tenancy.pausing import actor_words
from workloads.documents.chunks import rules
from workloads.documents.chunks.exceptions import (
    ChunkNotFoundError,
    ChunkVersionNotFoundError,
    DocumentNotCompletedError,
    NoNextChunkError,
    PlaceFullError,
)
from workloads.documents.chunks.processor import ChunkEmbedding
from workloads.documents.chunks.queries import find_versions, get_chunk, mergeable_chunk, next_chunk
from workloads.documents.models import Chunk, ChunkChange, ChunkVersion, Document, DocumentStatus, NextVector
from workloads.documents.queries import lock_dataset
from workloads.documents.query_embedding import require_known_model
from workloads.documents.reembedding.repository import move_vectors
from workloads.documents.space import take_chunks
from workloads.documents.splitting import Passage
from workloads.documents.terms import to_tsvector

# Versions that a chunk keeps, beside its first one.
MAX_VERSIONS = 50


@transaction.atomic
def update_chunk(*, chunk_id: UUID, text: str | None = None, is_enabled: bool | None = None, reason: str = "") -> Chunk:
    """Change the text of a chunk, or switch it off or on; return it. A chunk that is off is in no search.

    Raise `ChunkNotFoundError`, `DocumentNotCompletedError`, `FieldInvalidError`, and for a text
    `EmbeddingModelMismatchError` or the errors of `submit_job`.
    """
    document, chunk = _take(chunk_id)
    before = _facts(chunk)
    clean = None if text is None else rules.clean_text(text)
    has_text = clean is not None and clean != chunk.text
    if is_enabled is not None:
        chunk.is_enabled = is_enabled
    if has_text and clean is not None:
        _replace_text(chunk, clean, ChunkChange.EDITED)
    elif _facts(chunk) != before:
        chunk.version += 1
        chunk.save(update_fields=["is_enabled", "version"])
    if _facts(chunk) != before:
        record_audit(action="chunk.updated", target=chunk, before=before, after=_facts(chunk), reason=reason)
    if has_text:
        _submit_embedding(document, [chunk])
    return chunk


@transaction.atomic
def add_chunk(*, after_id: UUID, text: str, reason: str = "") -> Chunk:
    """Add a chunk to a document, behind another one whose location it takes; it is no summary. Return it.

    By vector it is found when its job is done. Raise `SpaceExceededError`, `PlaceFullError`, or as `update_chunk` does.
    """
    document, before = _take(after_id)
    location = {name: value for name, value in before.location.items() if name != "summary"}
    chunk = _insert_after(document, before, rules.clean_text(text), location)
    record_audit(action="chunk.added", target=chunk, after={"after": str(before.pk), **_facts(chunk)}, reason=reason)
    _submit_embedding(document, [chunk])
    return chunk


@transaction.atomic
def split_chunk(*, chunk_id: UUID, offset: int, version: int | None = None, reason: str = "") -> tuple[Chunk, Chunk]:
    """Split a chunk before the character at ``offset``; return both parts. The second is a new chunk behind the first.

    Both have the vector of the whole until their job is done. Raise `StaleError` if the chunk has another ``version``,
    else as `add_chunk` does.
    """
    document, chunk = _take(chunk_id)
    refuse_stale(chunk, None if version is None else {str(version)})
    facts = _facts(chunk)
    first, second = rules.split_text(chunk.text, offset)
    added = _insert_after(document, chunk, second, chunk.location, chunk.embedding)
    _replace_text(chunk, first, ChunkChange.SPLIT)
    after = {"added": str(added.pk), **_facts(chunk)}
    record_audit(action="chunk.split", target=chunk, before=facts, after=after, reason=reason)
    _submit_embedding(document, [chunk, added])
    return chunk, added


@transaction.atomic
def merge_chunk(*, chunk_id: UUID, reason: str = "") -> Chunk:
    """Append the next chunk of the document to a chunk, and delete the next one with its versions. Return the chunk.

    Raise `NoNextChunkError` for the last chunk of a document and the one before a summary, else as `update_chunk` does.
    """
    document, chunk = _take(chunk_id)
    following = mergeable_chunk(chunk)
    if following is None:
        raise NoNextChunkError
    before = _facts(chunk)
    _replace_text(chunk, rules.clean_text(rules.join_texts(chunk.text, following.text)), ChunkChange.MERGED)
    removed = str(following.pk)
    find_versions(following).delete()
    NextVector.objects.filter(pk=following.pk).delete()
    following.delete()
    _count(document, -1)
    after = {"removed": removed, **_facts(chunk)}
    record_audit(action="chunk.merged", target=chunk, before=before, after=after, reason=reason)
    _submit_embedding(document, [chunk])
    return chunk


@transaction.atomic
def restore_chunk(*, chunk_id: UUID, number: int, reason: str = "") -> Chunk:
    """Give a chunk the text of an earlier version; return it. Raise `ChunkVersionNotFoundError`, or as `update_chunk`.

    What a split or a merge did to its neighbour stays.
    """
    document, chunk = _take(chunk_id)
    version = first_or_raise(find_versions(chunk).filter(number=number), ChunkVersionNotFoundError)
    before = _facts(chunk)
    _replace_text(chunk, version.text, ChunkChange.RESTORED)
    after = {"restored": number, **_facts(chunk)}
    record_audit(action="chunk.restored", target=chunk, before=before, after=after, reason=reason)
    _submit_embedding(document, [chunk])
    return chunk


@transaction.atomic
def embed_chunk(*, chunk_id: UUID, reason: str = "") -> Chunk:
    """Submit a job that computes the vector of a chunk again; return the chunk. Raise as `update_chunk` does."""
    document, chunk = _take(chunk_id)
    chunk.vector_digest = None
    chunk.save(update_fields=["vector_digest"])
    record_audit(action="chunk.embedding_requested", target=chunk, after=_facts(chunk), reason=reason)
    _submit_embedding(document, [chunk])
    return chunk


def _take(chunk_id: UUID) -> tuple[Document, Chunk]:
    """Lock the document of a chunk, which no job indexes, and return both. The chunk has a vector of the model in use.

    The lock of the dataset keeps its model, and keeps a re-embedding from ending without the vector of the new text.
    """
    seen = get_chunk(chunk_id)
    if lock_dataset(seen.dataset_id, takes_documents=False).is_moving:
        move_vectors([chunk_id])
    documents = Document.objects.select_for_update(no_key=True, of=("self",)).select_related("dataset")
    document = first_or_raise(documents.filter(pk=seen.document_id), ChunkNotFoundError)
    if document.status != DocumentStatus.COMPLETED:
        raise DocumentNotCompletedError
    return document, get_chunk(chunk_id)


def _replace_text(chunk: Chunk, text: str, change: ChunkChange) -> None:
    """Store the text with its search terms, and the earlier text as a version."""
    ChunkVersion.objects.create(
        tenant_id=chunk.tenant_id,
        document_id=chunk.document_id,
        chunk_id=chunk.pk,
        number=chunk.version,
        text=chunk.text,
        change=change,
        replaced_by=actor_words(),
    )
    kept = find_versions(chunk).order_by("-number").values_list("number", flat=True)[:MAX_VERSIONS]
    first = find_versions(chunk).order_by("number").values_list("number", flat=True)[:1]
    find_versions(chunk).exclude(number__in=[*kept, *first]).delete()
    chunk.text, chunk.is_edited, chunk.vector_digest = text, True, None
    chunk.version += 1
    chunk.search = _terms_of(chunk)
    chunk.save(update_fields=["text", "search", "is_enabled", "is_edited", "vector_digest", "version"])
    NextVector.objects.filter(pk=chunk.pk).delete()


def _insert_after(document: Document, before: Chunk, text: str, location: dict[str, Any], vector: Any = None) -> Chunk:
    order: Any = before
    following: Any = next_chunk(before)
    place = rules.place_between(order.order, following.order if following else None)
    if place is None:
        raise PlaceFullError
    _count(document, 1)
    chunk = Chunk(
        tenant_id=before.tenant_id,
        dataset_id=before.dataset_id,
        document=document,
        position=before.position,
        place=place,
        text=text,
        location=location,
        embedding=vector,
        is_edited=True,
    )
    chunk.search = _terms_of(chunk)
    chunk.save(force_insert=True)
    return chunk


def _terms_of(chunk: Chunk) -> Any:
    heading = Passage(chunk.position, chunk.text, chunk.location).heading
    return Cast(Value(to_tsvector(chunk.text, heading=heading)), SearchVectorField())


def _count(document: Document, change: int) -> None:
    """Change the document's numbers of chunks, and the tenant's; raise `SpaceExceededError` if it has no room."""
    take_chunks(document, (document.chunks_total or 0) + change)
    Document.objects.filter(pk=document.pk).update(
        chunks_done=F("chunks_done") + change, chunks_total=F("chunks_total") + change
    )


def _submit_embedding(document: Document, chunks: Sequence[Chunk]) -> None:
    require_known_model(document.tenant_id, document.dataset.embedding_model)
    tenant = Tenant.objects.select_related("plan").get(pk=document.tenant_id)
    request = JobRequest(
        kind=ChunkEmbedding.kind,
        payload={"chunk_ids": [str(chunk.pk) for chunk in chunks]},
        subject=document.dataset_id,
        is_internal=True,
    )
    with suppress_nested_entries():
        submit_job(tenant=tenant, request=request, is_rate_limited=True)


def _facts(chunk: Chunk) -> dict[str, Any]:
    return {"version": chunk.version, "characters": len(chunk.text), "is_enabled": chunk.is_enabled}
