"""Embedding of the queries of searches, by the model of the dataset that is searched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from scheduling.kit.base import PermanentError, TransientError
from workloads.documents.embedding import Embedder, Vector, Vectors
from workloads.documents.embedding_models import embedder_of, find_model
from workloads.documents.exceptions import EmbeddingModelMismatchError, EmbeddingUnavailableError


def query_embedder(tenant_id: UUID, model: str) -> Embedder:
    """Return the embedder of a dataset's model, without the database unless the model is the tenant's own.

    Raise `EmbeddingModelMismatchError` if there is no such model, `EmbeddingUnavailableError` if its key cannot be
    opened.
    """
    require_known_model(tenant_id, model)
    with _search_by_text_instead():
        return embedder_of(tenant_id, model)


def embed_query(embedder: Embedder, query: str) -> Vector:
    """Return the vector of a query, without the database; raise `EmbeddingUnavailableError` if the model fails."""
    with _search_by_text_instead():
        vectors: Vectors = embedder.embed([query])
    return cast("Vector", vectors[0])


@contextmanager
def _search_by_text_instead() -> Iterator[None]:
    """Raise a model's errors as `EmbeddingUnavailableError`, with the advice to search by text."""
    try:
        yield
    except TransientError as error:
        wait = error.retry_after_seconds
        seconds = None if wait is None else math.ceil(wait)
        raise EmbeddingUnavailableError(
            "%(error)s Search by text meanwhile.", {"error": error}, retry_after_seconds=seconds
        ) from error
    except PermanentError as error:
        raise EmbeddingUnavailableError("%(error)s Search by text.", {"error": error}) from error


def require_known_model(tenant_id: UUID, model: str) -> None:
    """Raise `EmbeddingModelMismatchError` if a dataset's embedding model does not exist any more."""
    if find_model(tenant_id, model) is None:
        raise EmbeddingModelMismatchError(
            "The dataset was embedded by %(model)s, which no longer exists. Search by text, or re-embed the dataset by "
            "another model.",
            {"model": model},
        )
