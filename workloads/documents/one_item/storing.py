"""Reads and effects of indexing one item. Effects run in the caller's transaction."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import Any
from uuid import UUID

from workloads.documents import repository
from workloads.documents.models import Dataset, Document, DocumentStatus
from workloads.documents.one_item.item import IndexingItem, passages_to_bytes
from workloads.documents.one_item.steps import EmbeddedBatch
from workloads.documents.vector_reuse import known_vectors
from workloads.files.store import NewContent, StoredContent, storage_key, store_contents


def store_content(item: IndexingItem, written: list[str]) -> IndexingItem:
    """Effect: store the item's data for the row that will refer to it; ``written`` is `discard_on_error`'s.

    Raise SpaceExceededError.
    """
    assert item.data is not None  # fetched just before
    return with_content(item, _keep(item, item.data, written))


def store_passages(item: IndexingItem, written: list[str]) -> IndexingItem:
    """Effect: store the item's passages for the row that will refer to them. Raise SpaceExceededError."""
    content = _keep(item, passages_to_bytes(item.passages), written)
    return item.with_state(passages_key=content.key, passages_sha256=content.sha256)


def with_content(item: IndexingItem, content: StoredContent) -> IndexingItem:
    """Return the item with a stored content in place of its data."""
    return replace(item, data=None).with_state(
        content_key=content.key, content_sha256=content.sha256, size_bytes=content.size_bytes
    )


def open_document(
    item: IndexingItem, *, dataset_id: UUID, settings_key: str, job_id: UUID, batch_id: UUID
) -> IndexingItem:
    """Effect: find or create the dataset's document of the item's content, for this job, and begin its passages.

    Documents of equal content and ``settings_key`` have equal chunks: such a document is used again and resumes where
    another job left it, unless it is completed. A row of the caller refers to the content until here. Raise
    SpaceExceededError.
    """
    state = item.state
    dataset = Dataset.objects.select_for_update(no_key=True).get(pk=dataset_id)
    # Content that was fetched from an address belongs to that address.
    found = Document.objects.filter(
        dataset=dataset, sha256=state.content_sha256, settings_key=settings_key, source_url=""
    )
    document = found.select_for_update(no_key=True).first()
    if document is None:
        document = Document(
            tenant_id=dataset.tenant_id,
            dataset=dataset,
            name=item.name,
            content_type=state.content_type,
            size_bytes=state.size_bytes,
            sha256=state.content_sha256,
            settings_key=settings_key,
            storage_key=state.content_key,
            job_id=job_id,
            batch_id=batch_id,
        )
        document.save(force_insert=True)
    item = replace(item, source=repository.source_of(document, job_id=job_id)).with_state(document_id=document.pk)
    if document.status == DocumentStatus.COMPLETED:
        total = len(item.passages)
        return item.with_state(chunks_done=total, chunks_total=total)
    repository.take_over(item.document)
    return begin(item)


def begin(item: IndexingItem) -> IndexingItem:
    """Effect: resume the document if it was begun with these passages, else begin it from its first chunk.

    Raise SpaceExceededError if the tenant has no room for all of them.
    """
    if item.is_resumed:
        repository.resume_chunks(item.document)
    else:
        repository.begin_chunks(item.document, digest=item.digest, total=len(item.passages))
    return item.begun()


def read_known_vectors(item: IndexingItem) -> dict[UUID, Any]:
    """Return those vectors of the item's next batch that chunks of the tenant already have, for `steps.embed`."""
    texts = [passage.text for passage in item.next_batch()]
    return known_vectors(item.tenant_id, texts, model=item.embedding_model)


def store_batch(item: IndexingItem, batch: EmbeddedBatch) -> bool:
    """Effect: store a batch exactly at the document's mark. Return True if a pause of the document was requested."""
    return repository.append_chunks(item.document, batch.passages, batch.vectors)


def complete(item: IndexingItem) -> None:
    """Effect: mark the document completed; from then on its chunks serve searches."""
    repository.complete(item.document)


def _keep(item: IndexingItem, data: bytes, written: list[str]) -> StoredContent:
    content = NewContent(hashlib.sha256(data).hexdigest(), len(data), io.BytesIO(data))
    store_contents(item.tenant_id, [content], written=written)
    return StoredContent(storage_key(item.tenant_id, content.sha256), content.sha256, content.size_bytes)
