"""The counter of the chunks of a tenant's documents. It is updated with the documents, and verified by a recount."""

from __future__ import annotations

from collections.abc import Sequence

from tenants.limits.recounts import StoredCounter
from tenants.limits.usage import change_stored
from workloads.documents.limits import VECTOR_CHUNKS
from workloads.documents.models import Document

# Documents store their number of chunks: no chunk is read.
CHUNK_COUNTER = StoredCounter(VECTOR_CHUNKS, "retrieval_document", "sum(coalesce(chunks_total, 0) + kept_chunks)")


def take_chunks(document: Document, total: int) -> None:
    """Count the chunks that a document will have; raise `SpaceExceededError` if the tenant has no room for them."""
    change = total - (document.chunks_total or 0)
    change_stored(tenant_id=document.tenant_id, limit=VECTOR_CHUNKS, change=change)


def release_chunks(documents: Sequence[Document]) -> None:
    """Subtract from the counter all chunks of a tenant's documents that are about to be deleted."""
    if documents:
        chunks = sum((document.chunks_total or 0) + document.kept_chunks for document in documents)
        change_stored(tenant_id=documents[0].tenant_id, limit=VECTOR_CHUNKS, change=-chunks)


def release_stored_content(document: Document) -> None:
    """Subtract from the counter the chunks that served searches while the document was re-indexed."""
    change_stored(tenant_id=document.tenant_id, limit=VECTOR_CHUNKS, change=-document.kept_chunks)
