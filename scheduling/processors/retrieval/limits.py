"""What retrieval limits: files of a batch, chunks."""

from __future__ import annotations

from typing import Final

from tenants.limits import Limit, Span

FILES_PER_BATCH: Final = Limit(
    key="document_indexing.files_per_batch",
    title="Files in one batch",
    unit="files",
    counts="Files of one upload.",
    span=Span.EACH,
    enforced_at="upload",
    # As many as the smallest plan that the platform begins with.
    default=5,
)
VECTOR_CHUNKS: Final = Limit(
    key="vector_chunks",
    title="Vector space",
    unit="chunks",
    counts="Chunks of all documents; a document's count from the moment its indexing knows how many they are.",
    span=Span.NOW,
    enforced_at="upload and indexing",
    is_counter=True,
    warns=True,
)
LIMITS: Final = (FILES_PER_BATCH, VECTOR_CHUNKS)
