"""Queries of chunks: lists of a dataset or document, one chunk, its versions, and the text of a document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.contrib.postgres.search import SearchQuery
from django.db.models import Q, QuerySet

from tenants.context import require_scope, scope_context
from tenants.database.reads import first_or_raise
from workloads.documents.chunks.exceptions import ChunkNotFoundError
from workloads.documents.chunks.rules import join_texts
from workloads.documents.models import CHANGED, ORDER, Chunk, ChunkVersion, DatasetState, Document
from workloads.documents.terms import query_terms, to_tsqueries

# Chunks read at a time for the text of a document, and the terms of a filter that are used.
_PAGE, _MAX_TERMS = 500, 16


class ChunkState(StrEnum):
    """What a list of chunks can be filtered by."""

    ON = "on"
    OFF = "off"
    EDITED = "edited"
    EMBEDDING = "embedding"
    SUMMARY = "summary"


_IS_SUMMARY = Q(location__has_key="summary")
_STATES = {
    ChunkState.ON: Q(is_enabled=True),
    ChunkState.OFF: Q(is_enabled=False),
    ChunkState.EDITED: Q(is_edited=True),
    ChunkState.EMBEDDING: Q(vector_digest=None),
    ChunkState.SUMMARY: _IS_SUMMARY,
}


def find_chunks() -> QuerySet[Chunk]:
    """Return the scope's chunks that serve searches or are switched off, annotated with their ``order`` in a document.

    Those of a document that is indexed again are the old ones until the new ones are complete.
    """
    existing = Chunk.objects.filter(is_served=True).exclude(dataset__state=DatasetState.DELETING)
    chunks: QuerySet[Any] = existing.annotate(order=ORDER).defer("embedding", "search")
    return chunks


def narrow_chunks(chunks: QuerySet[Any], *, state: str = "", words: str = "", heading: str = "") -> QuerySet[Any]:
    """Return those of the chunks that match.

    Each of the words must be in the text or the headings; each of ``heading`` in the headings.
    """
    if state:
        chunks = chunks.filter(_STATES[ChunkState(state)])
    for text, weight in ((words, ""), (heading, ":A")):
        if terms := to_tsqueries(query_terms(text)[:_MAX_TERMS]):
            raw = " & ".join(f"{term}{weight}" for term in terms)
            chunks = chunks.filter(search=SearchQuery(raw, search_type="raw", config="simple"))
    return chunks


def get_chunk(chunk_id: UUID) -> Chunk:
    """Return one chunk that `find_chunks` finds; raise `ChunkNotFoundError` if there is none."""
    return first_or_raise(find_chunks().select_related("document").filter(pk=chunk_id), ChunkNotFoundError)


def next_chunk(chunk: Chunk) -> Chunk | None:
    """Return the chunk that follows in the document, None if it is the last one."""
    order: Any = chunk
    rows: QuerySet[Any] = find_chunks()
    following = rows.filter(document_id=chunk.document_id, order__gt=order.order).order_by("order").first()
    return following if isinstance(following, Chunk) else None


def mergeable_chunk(chunk: Chunk) -> Chunk | None:
    """Return the next chunk, None if there is none; a summary and a text of the document are not merged."""
    following = next_chunk(chunk)
    return following if following is not None and following.is_summary == chunk.is_summary else None


def find_versions(chunk: Chunk) -> QuerySet[ChunkVersion]:
    """Return the earlier texts of a chunk."""
    versions: QuerySet[ChunkVersion] = ChunkVersion.objects.filter(tenant_id=chunk.tenant_id, chunk_id=chunk.pk)
    return versions


def extracted_text(chunk: Chunk) -> str | None:
    """Return the text that indexing gave the chunk; None if it was added by hand."""
    if chunk.place is not None:
        return None
    first = find_versions(chunk).order_by("number").first()
    return chunk.text if first is None else first.text


def count_changed(documents: Sequence[Document] | QuerySet[Document], *, dataset_id: UUID) -> int:
    """Return how many chunks of the documents, of one dataset, a person has changed or switched off."""
    changed = Chunk.objects.filter(CHANGED, dataset_id=dataset_id, document__in=documents, is_served=True)
    return int(changed.count())


def find_changed(document_ids: Sequence[UUID], *, dataset_id: UUID) -> set[UUID]:
    """Return those of the documents, of one dataset, that have chunks which a person has changed or switched off."""
    changed = Chunk.objects.filter(CHANGED, dataset_id=dataset_id, document__in=document_ids, is_served=True)
    return set(changed.values_list("document_id", flat=True).distinct())


def stream_text(document: Document, *, before_page: Callable[[], None]) -> Iterator[str]:
    """Return an iterator of the document's text, read in transactions of its own while it is sent.

    It is the text of the chunks as it stands now, without what a chunk repeats from the previous one and without the
    summary.
    """
    return _iterate_text(document, require_scope(), before_page)


def _iterate_text(document: Document, scope: Any, before_page: Callable[[], None]) -> Iterator[str]:
    last: Any = None
    previous = ""
    while True:
        before_page()
        with scope_context(scope):
            chunks: QuerySet[Any] = find_chunks().filter(~_IS_SUMMARY, document_id=document.pk)
            page = list((chunks if last is None else chunks.filter(order__gt=last.order)).order_by("order")[:_PAGE])
        for chunk in page:
            yield chunk.text if last is None else join_texts(previous, chunk.text)[len(previous) :]
            last, previous = chunk, chunk.text
        if len(page) < _PAGE:
            return
