"""Search in one dataset: by meaning, by words, or by both."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from scheduling.kit.base import PermanentError, TransientError
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from workloads.documents.embedding import current_model_name, get_embedder
from workloads.documents.exceptions import EmbeddingModelMismatchError, EmbeddingUnavailableError
from workloads.documents.fusion import fuse_rankings
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.terms import query_terms, to_tsqueries
from workloads.documents.vector_index import has_vector_index, widen_search

MAX_TOP_K = 50
MAX_QUERY_LENGTH = 1_000
# Each ranking has this many times the requested results, so that a chunk in the middle of both can win.
_DEPTH_FACTOR, _MIN_DEPTH = 4, 50
# Rarer terms weigh more; a query with more terms than this is a page, and the rest only costs time.
_MAX_TERMS = 64

_SQL = load_sql(__file__)
_BY_VECTOR_EXACTLY, _BY_VECTOR_INDEX, _BY_TEXT = _SQL["rank_exactly"], _SQL["rank_by_index"], _SQL["rank_by_text"]

type Ranking = list[tuple[UUID, float]]


class SearchMode(StrEnum):
    """How chunks are found: by both rankings fused, by vectors only, or by words only."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that matched a search, with its document. Scores can be compared only within one result."""

    chunk: Chunk
    score: float


@dataclass(slots=True)
class Timings:
    """The durations of the parts of a search, in milliseconds, by the name of the part."""

    parts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the duration of the block under this name."""
        began = time.perf_counter()
        yield
        self.parts[name] = round((time.perf_counter() - began) * 1_000, 1)


def search_dataset(
    *,
    dataset: Dataset,
    query: str,
    top_k: int = 10,
    mode: SearchMode = SearchMode.HYBRID,
    timings: Timings | None = None,
    vector: Any = None,
) -> list[Hit]:
    """Return the best ``top_k`` (at most 50) chunks of a dataset for a query, best first.

    Call it in the tenant's scope. The durations of its parts are added to ``timings``; ``vector`` is that of the query
    if the caller has it. Raise `EmbeddingModelMismatchError` or `EmbeddingUnavailableError` if the query cannot be
    embedded.
    """
    timings = timings or Timings()
    limit = max(1, min(top_k, MAX_TOP_K))
    depth = limit if mode is not SearchMode.HYBRID else max(_MIN_DEPTH, _DEPTH_FACTOR * limit)
    rankings = []
    if mode is not SearchMode.TEXT:
        with timings.part("embedding and vectors"):
            rankings.append(rank_by_vector(dataset, query, depth, vector))
    if mode is not SearchMode.VECTOR:
        with timings.part("words"):
            rankings.append(rank_by_text(dataset, query, depth))
    if mode is SearchMode.HYBRID:
        best = fuse_rankings([[chunk for chunk, _ in ranking] for ranking in rankings], limit=limit)
    else:
        best = rankings[0]
    with timings.part("reading"):
        return _read_hits(best)


def rank_by_vector(dataset: Dataset, query: str, limit: int, vector: Any = None) -> Ranking:
    """Return the ids of up to ``limit`` chunks with their scores: the cosine of their vector and the query's.

    Raise `EmbeddingModelMismatchError` or `EmbeddingUnavailableError` if the query cannot be embedded.
    """
    if dataset.embedding_model != current_model_name():
        raise EmbeddingModelMismatchError(
            "The dataset was embedded by %(model)s; %(current)s is in use. Search by text, or re-index the dataset.",
            {"model": dataset.embedding_model, "current": current_model_name()},
        )
    others = _documents_of_other_models(dataset)
    vector = embed_query(query) if vector is None else vector
    asked = {"vector": f"[{','.join(map(str, vector.tolist()))}]", "limit": limit, "others": others}
    parameters = _scope_of(dataset) | asked
    if has_vector_index(dataset.pk):
        widen_search(limit)
        return _rank(_BY_VECTOR_INDEX, parameters)
    return _rank(_BY_VECTOR_EXACTLY, parameters)


def embed_query(query: str) -> Any:
    """Return the vector of a query, without the database; raise `EmbeddingUnavailableError` if that fails."""
    try:
        return get_embedder().embed([query])[0]
    except TransientError as error:
        wait = error.retry_after_seconds
        seconds = None if wait is None else math.ceil(wait)
        raise EmbeddingUnavailableError(
            "%(error)s Search by text meanwhile.", {"error": error}, retry_after_seconds=seconds
        ) from error
    except PermanentError as error:
        raise EmbeddingUnavailableError("%(error)s Search by text.", {"error": error}) from error


def _documents_of_other_models(dataset: Dataset) -> list[UUID]:
    """Return documents whose vectors cannot be compared: they wait for the dataset's new model, and are found by words
    only.
    """
    others = Document.objects.filter(dataset=dataset).exclude(served_model__in=["", dataset.embedding_model])
    return list(others.values_list("pk", flat=True))


def rank_by_text(dataset: Dataset, query: str, limit: int) -> Ranking:
    """Return the ids and scores of up to ``limit`` chunks that share words with the query; rare words weigh more."""
    terms = to_tsqueries(query_terms(query)[:_MAX_TERMS])
    if not terms:
        return []
    return _rank(_BY_TEXT, _scope_of(dataset) | {"terms": terms, "any_term": " | ".join(terms), "limit": limit})


def _scope_of(dataset: Dataset) -> dict[str, Any]:
    # Row-level security needs no tenant here; the index on (tenant, dataset) does.
    return {"tenant_id": dataset.tenant_id, "dataset_id": dataset.pk}


def _rank(statement: str, parameters: dict[str, Any]) -> Ranking:
    return [(row.id, float(row.score)) for row in fetch_all(statement, parameters, is_planned=True)]


def _read_hits(best: Sequence[tuple[UUID, float]]) -> list[Hit]:
    chunks = (
        Chunk.objects.filter(pk__in=[chunk_id for chunk_id, _ in best])
        .select_related("document")
        .defer("embedding", "search")
        .in_bulk()
    )
    # A chunk that was deleted between the two reads is left out.
    return [Hit(chunks[chunk_id], score) for chunk_id, score in best if chunk_id in chunks]
