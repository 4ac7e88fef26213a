"""The processor of the kind `dataset_embedding`: it re-embeds a dataset by another model.

It collects the new vectors beside the old ones, which serve searches; lets the new model serve in one short transaction
when no chunk lacks a vector; and then moves the vectors to the chunks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.kit.base import (
    Complete,
    Discard,
    JobContext,
    Json,
    Outcome,
    PermanentError,
    Snoozed,
    TaskProcessor,
    Yielded,
)
from tenants.context import tenant_context
from tenants.database.ids import id_of
from workloads.documents.embedding import Embedder, EndpointRateLimitedError
from workloads.documents.embedding_models import embedder_of, load_embedder
from workloads.documents.models import Dataset
from workloads.documents.one_item.steps import StepContext, embed_texts
from workloads.documents.platform_settings import MAX_MODEL_NAME_LENGTH
from workloads.documents.reembedding import repository
from workloads.documents.reembedding.repository import MissingChunk, ReembeddingGoneError
from workloads.documents.vector_reuse import combine, known_vectors
from workloads.model_endpoints.usage import record_usage

# Chunks that are embedded and stored at a time: the work that a crash repeats, and the delay of a cancel.
BATCH_CHUNKS = 32
# Vectors that are moved at a time.
BATCH_MOVES = 200
# A longer run gives its slot back and continues, long before the timeout.
TURN_SECONDS = 300.0


class DatasetEmbedding(TaskProcessor):
    """Processor of the kind `dataset_embedding`. Each job re-embeds one dataset."""

    kind = "dataset_embedding"
    memory_class = "medium"
    title = gettext_noop("Re-embedding of a dataset")
    description = gettext_noop("Computes the vectors of a dataset by another model; the old ones serve until then.")
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "dataset_id": {"type": "string", "format": "uuid", "maxLength": 36},
            "model": {"type": "string", "minLength": 1, "maxLength": MAX_MODEL_NAME_LENGTH},
        },
        "required": ["dataset_id", "model"],
        "additionalProperties": False,
    }
    timeout_seconds = 900.0
    is_internal = True

    @classmethod
    def preload(cls) -> None:
        """Load the embedding model in the worker's parent process, so that its children share the memory."""
        load_embedder()

    @classmethod
    def subjects_of(cls, payloads: Sequence[Mapping[str, Any]]) -> Sequence[UUID | None]:
        """Return the datasets that exist: their labels limit the regions."""
        named = [id_of(payload.get("dataset_id")) for payload in payloads]
        found = set(Dataset.objects.filter(pk__in=[one for one in named if one]).values_list("pk", flat=True))
        return [one if one in found else None for one in named]

    def process(self, context: JobContext) -> Outcome:
        model = context.payload["model"]
        dataset = repository.read_dataset(context.tenant_id, UUID(context.payload["dataset_id"]), model=model)
        run = Reembedding(context, dataset, model)
        ends_at = time.monotonic() + TURN_SECONDS
        while not run.is_done:
            if limited := run.advance():
                return limited
            if not run.is_done and (context.should_yield() or time.monotonic() > ends_at):
                return Yielded(run.state)
        context.in_settlement(lambda: repository.finish(dataset, model))
        return Complete({"dataset": str(dataset.pk), "model": model})

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        """Discard a job whose re-embedding was given up; leave other errors to the platform's policy (None)."""
        if isinstance(error, ReembeddingGoneError):
            return Discard(str(error), PermanentError(str(error), code="reembedding_gone"))
        return None


@dataclass
class Reembedding:
    """The re-embedding of a dataset, as far as it has come: the last chunk that this pass has read."""

    context: JobContext
    dataset: Dataset
    model: str
    after: UUID | None = None
    done: int = 0
    total: int = 0
    is_done: bool = False

    def __post_init__(self) -> None:
        self.after = id_of(self.context.state.get("after"))
        with tenant_context(self.dataset.tenant_id):
            size = repository.measure(self.dataset)
        self.done, self.total = size.done, size.chunks

    @property
    def state(self) -> Json:
        """Return what a later start of the job continues from."""
        return {"after": str(self.after) if self.after else None}

    def advance(self) -> Outcome | None:
        """Do the next step: embed some chunks, let the new model serve, or move some vectors.

        Return the outcome of the job if the endpoint's rate limit is reached, else None.
        """
        if self.dataset.is_moving:
            self._move()
            return None
        chunks = repository.read_missing(self.dataset, after=self.after, limit=BATCH_CHUNKS)
        if chunks:
            return self._embed(chunks)
        if self.after is None:
            self._serve()
        # Chunks that were stored or changed since they were passed are read from the beginning.
        self.after = None
        return None

    def _embed(self, chunks: Sequence[MissingChunk]) -> Outcome | None:
        context, model = self.context, self.model
        texts = [chunk.to_embed for chunk in chunks]
        known = known_vectors(context.tenant_id, texts, model=model)
        compute = partial(embed_texts, self._embedder, context=self._step_context)
        try:
            vectors, reused = combine(texts, known, model=model, embed=compute)
        except EndpointRateLimitedError as limited:
            # The endpoint works and limits its rate: the job gives up its slot for a while and uses no attempt.
            context.log("rate_limited", level="warning", seconds=limited.seconds)
            return Snoozed(self.state, limited.seconds)
        self.after = chunks[-1].id
        usage = self._embedder.take_usage()

        def effects() -> None:
            repository.store_next(self.dataset, model, chunks, vectors)
            record_usage(context.tenant_id, usage)

        context.checkpoint(self.state, effects)
        self.done += len(chunks)
        self.total = max(self.total, self.done)
        context.log("embedded", chunks=self.done, of=self.total, reused=reused)
        context.report_progress(self.done, self.total, "chunks")
        return None

    @cached_property
    def _embedder(self) -> Embedder:
        return embedder_of(self.context.tenant_id, self.model)

    @property
    def _step_context(self) -> StepContext:
        return StepContext(self.context.should_yield, self.context.dependency)

    def _serve(self) -> None:
        """Let the new model serve, unless a chunk was stored or changed just now."""
        serves: list[bool] = []
        self.context.checkpoint(self.state, lambda: serves.append(repository.begin_serving(self.dataset, self.model)))
        if serves[-1]:
            self.dataset.embedding_model = self.model
            self.context.log("new model serves", model=self.model)

    def _move(self) -> None:
        """Move some vectors to their chunks; set ``is_done`` after the last ones."""
        moved: list[int] = []
        self.context.checkpoint(self.state, lambda: moved.append(repository.move_some(self.dataset, limit=BATCH_MOVES)))
        self.is_done = moved[-1] == 0
