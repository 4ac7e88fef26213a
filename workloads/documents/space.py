"""The counter of the chunks that a tenant's documents take up: kept where documents change, proved by a recount."""

from __future__ import annotations

from tenants.limits.recounts import StoredCounter
from tenants.limits.usage import change_stored
from workloads.documents.limits import VECTOR_CHUNKS
from workloads.documents.models import Document

# Documents say how many chunks they have: no chunk is looked at.
CHUNK_COUNTER = StoredCounter(VECTOR_CHUNKS, "retrieval_document", "sum(coalesce(chunks_total, 0) + kept_chunks)")


def take_chunks(document: Document, total: int) -> None:
    """Count the chunks that a document will have; SpaceExceededError for more than there is room for."""
    change = total - (document.chunks_total or 0)
    change_stored(tenant_id=document.tenant_id, limit=VECTOR_CHUNKS, change=change)


def release_chunks(document: Document) -> None:
    """Count a document's chunks no more; it is about to be deleted."""
    change = -(document.chunks_total or 0) - document.kept_chunks
    change_stored(tenant_id=document.tenant_id, limit=VECTOR_CHUNKS, change=change)


def release_kept(document: Document) -> None:
    """Count those chunks no more that answered while the document was indexed anew."""
    change_stored(tenant_id=document.tenant_id, limit=VECTOR_CHUNKS, change=-document.kept_chunks)
