"""Database reads and writes of re-embedding a dataset. Writes run in the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import scalar_row

from tenants.context import tenant_context
from tenants.database.prepared import execute, fetch_all, fetch_one
from tenants.database.sql import load_sql
from workloads.documents.embedding import Vectors, text_to_embed
from workloads.documents.models import Dataset, NextVector
from workloads.documents.vector_reuse import digest_of_text

_SQL = load_sql(__file__)
_FIRST = UUID(int=0)


class ReembeddingGoneError(Exception):
    """Raised if the dataset was deleted, or its re-embedding by this model was given up."""


def read_dataset(tenant_id: UUID, dataset_id: UUID, *, model: str) -> Dataset:
    """Return a dataset that is re-embedded by the model; raise `ReembeddingGoneError` if it is not, or no longer."""
    with tenant_context(tenant_id):
        dataset = Dataset.objects.filter(pk=dataset_id, next_model=model).first()
    if dataset is None:
        raise ReembeddingGoneError(f"The dataset {dataset_id} is not re-embedded by {model} any more.")
    return dataset


@dataclass(frozen=True, slots=True)
class MissingChunk:
    """A chunk that has no vector of the next model, with its text and what is embedded for it."""

    id: UUID
    text: str
    to_embed: str


def read_missing(dataset: Dataset, *, after: UUID | None, limit: int) -> list[MissingChunk]:
    """Return the next chunks without a vector of the next model; ``after`` None begins at the first one."""
    values = {**_scope_of(dataset), "after": after or _FIRST, "limit": limit}
    with tenant_context(dataset.tenant_id):
        rows = fetch_all(_SQL["read_missing"], values, is_planned=True)
    return [MissingChunk(row.id, row.text, text_to_embed(row.text, json.loads(row.location))) for row in rows]


def store_next(dataset: Dataset, model: str, chunks: Sequence[MissingChunk], vectors: Vectors) -> None:
    """Store vectors of the next model; raise `ReembeddingGoneError` if it is not the next one any more."""
    if not fetch_all(_SQL["hold_next_model"], {"dataset_id": dataset.pk, "model": model}, is_planned=True):
        raise ReembeddingGoneError(f"The dataset {dataset.pk} is not re-embedded by {model} any more.")
    parameters = {
        "ids": [chunk.id for chunk in chunks],
        "texts": [chunk.text for chunk in chunks],
        "embeddings": [f"[{','.join(map(str, vector))}]" for vector in vectors.tolist()],
        "digests": [digest_of_text(model, chunk.to_embed) for chunk in chunks],
    }
    execute(_SQL["store_next"], parameters, is_planned=True)


def begin_serving(dataset: Dataset, model: str) -> bool:
    """Let the next model serve searches, if every chunk has its vector. Return whether it serves.

    The lock waits for transactions that store or change chunks, and later ones see the new model.
    """
    locked = Dataset.objects.select_for_update(no_key=True).filter(pk=dataset.pk, next_model=model).first()
    if locked is None:
        raise ReembeddingGoneError(f"The dataset {dataset.pk} is not re-embedded by {model} any more.")
    if read_missing(dataset, after=None, limit=1):
        return False
    locked.embedding_model = model
    locked.save(update_fields=["embedding_model"])
    return True


def move_some(dataset: Dataset, *, limit: int) -> int:
    """Move some vectors of the model that serves now to their chunks; return how many."""
    values = {**_scope_of(dataset), "limit": limit}
    moved: int = fetch_one(_SQL["move_some"], values, scalar_row, is_planned=True)
    return moved


def move_vectors(chunk_ids: Sequence[UUID]) -> None:
    """Move the vectors of these chunks, of a dataset whose vectors are being moved."""
    execute(_SQL["move_chunks"], {"ids": list(chunk_ids)}, is_planned=True)


def finish(dataset: Dataset, model: str) -> None:
    """End the re-embedding, in which all vectors have been moved."""
    Dataset.objects.filter(pk=dataset.pk, next_model=model, embedding_model=model).update(next_model="")


def forget_next(dataset: Dataset) -> None:
    """Delete the vectors that were collected for a dataset's next model."""
    NextVector.objects.filter(dataset=dataset).delete()


def measure(dataset: Dataset) -> Any:
    """Return the numbers ``chunks`` and ``done`` of a dataset, and about how many ``bytes`` are embedded."""
    return fetch_one(_SQL["measure"], _scope_of(dataset), is_planned=True)


def _scope_of(dataset: Dataset) -> dict[str, Any]:
    return {"tenant_id": dataset.tenant_id, "dataset_id": dataset.pk}
