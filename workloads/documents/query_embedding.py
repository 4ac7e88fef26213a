"""Embedding of the queries of searches, by the model of the dataset that is searched."""

from __future__ import annotations

import math
from typing import cast
from uuid import UUID

from scheduling.kit.base import PermanentError, TransientError
from workloads.documents.embedding import Vector, Vectors
from workloads.documents.embedding_models import embedder_of, find_models
from workloads.documents.exceptions import EmbeddingModelMismatchError, EmbeddingUnavailableError


def embed_query(tenant_id: UUID, model: str, query: str) -> Vector:
    """Return the vector of a query by a model, without the database unless the model is the tenant's own.

    Raise `EmbeddingModelMismatchError` if there is no such model, `EmbeddingUnavailableError` if it fails.
    """
    require_known_model(tenant_id, model)
    try:
        vectors: Vectors = embedder_of(tenant_id, model).embed([query])
    except TransientError as error:
        wait = error.retry_after_seconds
        seconds = None if wait is None else math.ceil(wait)
        raise EmbeddingUnavailableError(
            "%(error)s Search by text meanwhile.", {"error": error}, retry_after_seconds=seconds
        ) from error
    except PermanentError as error:
        raise EmbeddingUnavailableError("%(error)s Search by text.", {"error": error}) from error
    return cast("Vector", vectors[0])


def require_known_model(tenant_id: UUID, model: str) -> None:
    """Raise `EmbeddingModelMismatchError` if a dataset's embedding model does not exist any more."""
    if model not in find_models(tenant_id):
        raise EmbeddingModelMismatchError(
            "The dataset was embedded by %(model)s, which no longer exists. Search by text, or re-embed the dataset by "
            "another model.",
            {"model": model},
        )
