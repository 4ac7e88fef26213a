"""Database reads and writes of indexing one item. The writes run in the caller's transaction."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from workloads.documents import repository
from workloads.documents.embedding import text_to_embed
from workloads.documents.metadata import check_metadata
from workloads.documents.models import Document, DocumentStatus, index_values
from workloads.documents.one_item.item import IndexingItem, passages_to_bytes
from workloads.documents.one_item.steps import EmbeddedBatch
from workloads.documents.queries import lock_dataset
from workloads.documents.vector_reuse import known_vectors
from workloads.files.contents import NewContent
from workloads.files.store import StoredContent, storage_key, store_contents


def store_content(item: IndexingItem, written: list[str]) -> IndexingItem:
    """Store the item's data as content of the file storage, in the current transaction.

    Return the item with the content. A row must refer to the content before the commit. ``written`` is the list of
    `discard_on_error`. Raise `SpaceExceededError` if the tenant has no room for it.
    """
    assert item.data is not None  # fetched just before
    return with_content(item, _keep(item, item.data, written))


def store_passages(item: IndexingItem, written: list[str]) -> IndexingItem:
    """Store the item's passages in the file storage, in the current transaction. Return the item with their key.

    A row must refer to them before the commit. Raise `SpaceExceededError` if the tenant has no room for them.
    """
    content = _keep(item, passages_to_bytes(item.passages, item.facts), written)
    return item.with_state(passages_key=content.key, passages_sha256=content.sha256)


def with_content(item: IndexingItem, content: StoredContent) -> IndexingItem:
    """Return a copy of the item with a stored content in place of its data."""
    return replace(item, data=None).with_state(
        content_key=content.key, content_sha256=content.sha256, size_bytes=content.size_bytes
    )


def open_document(
    item: IndexingItem, *, dataset_id: UUID, settings_key: str, job_id: UUID, batch_id: UUID
) -> IndexingItem:
    """Find or create the dataset's document with the item's content, and begin or resume storing its chunks.

    Documents with equal content and equal ``settings_key`` have equal chunks, so an existing one is used again, and
    resumed where another job left it unless it is completed. Until the call, a row of the caller must refer to the
    content. It runs in the current transaction. Raise `SpaceExceededError` if the tenant has no room for the chunks, or
    as `lock_dataset` does.
    """
    state = item.state
    dataset = lock_dataset(dataset_id)
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


def begin(item: IndexingItem, *, seconds: float = 0.0) -> IndexingItem:
    """Begin storing the chunks of the document, or resume it if it was begun with the same passages. Return the item.

    The phase of indexing began ``seconds`` ago. It runs in the current transaction. Raise `SpaceExceededError` if the
    tenant has no room for all chunks.
    """
    if item.is_resumed:
        repository.resume_chunks(item.document)
    else:
        total = len(item.passages)
        repository.begin_chunks(item.document, digest=item.digest, total=total, facts=item.facts, seconds=seconds)
    return item.begun()


def read_known_vectors(item: IndexingItem) -> dict[UUID, Any]:
    """Return those vectors for the item's next batch that chunks of the tenant already have, for `steps.embed`."""
    texts = [text_to_embed(passage.text, passage.location) for passage in item.next_batch()]
    return known_vectors(item.tenant_id, texts, model=item.embedding_model)


def store_batch(item: IndexingItem, batch: EmbeddedBatch) -> bool:
    """Store a batch of chunks after those already stored, in the current transaction.

    Return whether a pause of the document was requested. Raise `DocumentGoneError` if another job has taken it over.
    """
    return repository.append_chunks(item.document, batch.passages, batch.vectors)


def store_metadata(item: IndexingItem, values: Mapping[str, Any]) -> None:
    """Store values of the fields that the dataset declares, in the current transaction, beside those that there are.

    Raise `FieldInvalidError` unless they fit the fields.
    """
    # The dataset first, as uploads do: its fields must not change meanwhile.
    dataset = lock_dataset(item.document.dataset_id, takes_documents=False)
    document = Document.objects.select_for_update(no_key=True).get(pk=item.document.id)
    found = {**document.metadata, **check_metadata(dataset.fields, dict(values))}
    document.metadata = {name: value for name, value in found.items() if value is not None}
    document.save(update_fields=["metadata"])
    index_values([document])


def complete(item: IndexingItem, *, refusal: str = "") -> None:
    """Mark the document completed, in the current transaction. From the commit on its chunks serve searches.

    ``refusal`` is the reason if it has no summary although its dataset has a model for it.
    """
    repository.complete(item.document, refusal=refusal)


def _keep(item: IndexingItem, data: bytes, written: list[str]) -> StoredContent:
    content = NewContent(hashlib.sha256(data).hexdigest(), len(data), io.BytesIO(data))
    store_contents(item.tenant_id, [content], written=written)
    return StoredContent(storage_key(item.tenant_id, content.sha256), content.sha256, content.size_bytes)
