"""The processor of the kind `chunk_embedding`: it computes the vectors of chunks that were changed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.kit.base import Complete, JobContext, Outcome, Snoozed, TaskProcessor
from tenants.context import tenant_context
from workloads.documents.embedding import EndpointRateLimitedError, Vectors, text_to_embed
from workloads.documents.embedding_models import embedder_of, load_embedder
from workloads.documents.models import Chunk
from workloads.documents.one_item.steps import StepContext, embed_texts
from workloads.documents.repository import hold_model
from workloads.documents.vector_reuse import combine, digest_of_text, known_vectors
from workloads.model_endpoints.usage import record_usage

MAX_CHUNKS = 32


class ChunkEmbedding(TaskProcessor):
    """Processor of the kind `chunk_embedding`. Each job embeds the chunks of one change."""

    kind = "chunk_embedding"
    memory_class = "medium"
    title = gettext_noop("Chunk embedding")
    description = gettext_noop("Computes the vectors of chunks that were changed by hand.\n\nCreated by such changes.")
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "chunk_ids": {
                "type": "array",
                "items": {"type": "string", "format": "uuid", "maxLength": 36},
                "minItems": 1,
                "maxItems": MAX_CHUNKS,
            }
        },
        "required": ["chunk_ids"],
        "additionalProperties": False,
    }
    timeout_seconds = 120.0
    is_internal = True

    @classmethod
    def preload(cls) -> None:
        """Load the embedding model in the worker's parent process, so that its children share the memory."""
        load_embedder()

    def process(self, context: JobContext) -> Outcome:
        chunks = read_waiting(context.tenant_id, [UUID(chunk_id) for chunk_id in context.payload["chunk_ids"]])
        if not chunks:
            return Complete({"chunks": 0})
        model = chunks[0].dataset.embedding_model
        step_context = StepContext(context.should_yield, context.dependency)
        texts = [text_to_embed(chunk.text, chunk.location) for chunk in chunks]
        known = known_vectors(context.tenant_id, texts, model=model)
        embedder = embedder_of(context.tenant_id, model)
        try:
            compute = partial(embed_texts, embedder, context=step_context)
            vectors, _ = combine(texts, known, model=model, embed=compute)
        except EndpointRateLimitedError as limited:
            context.log("rate_limited", level="warning", seconds=limited.seconds)
            return Snoozed(context.state, limited.seconds)
        context.in_settlement(lambda: store_vectors(chunks, vectors, model=model))
        context.in_settlement(lambda: record_usage(context.tenant_id, embedder.take_usage()))
        return Complete({"chunks": len(chunks)})


def read_waiting(tenant_id: UUID, chunk_ids: Sequence[UUID]) -> list[Chunk]:
    """Return those of the chunks that exist and wait for a vector. All belong to one document."""
    with tenant_context(tenant_id):
        rows = Chunk.objects.filter(pk__in=chunk_ids, vector_digest=None).defer("embedding", "search")
        return list(rows.select_related("dataset").order_by("pk"))


def store_vectors(chunks: Sequence[Chunk], vectors: Vectors, *, model: str) -> None:
    """Store the vectors, in the current transaction. A text that has changed meanwhile waits for its own job. If
    the dataset has another model now, the re-embedding that brought it has stored vectors of the new texts.
    """
    if not hold_model(chunks[0].dataset_id, model):
        return
    for chunk, vector in zip(chunks, vectors, strict=True):
        Chunk.objects.filter(pk=chunk.pk, text=chunk.text, vector_digest=None).update(
            embedding=vector, vector_digest=digest_of_text(model, text_to_embed(chunk.text, chunk.location))
        )
