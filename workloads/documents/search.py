"""Search in datasets: by meaning, by words, or by both."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from django.utils.safestring import SafeString

from scheduling.kit.base import PermanentError, TransientError
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from workloads.documents.embedding import Vector, Vectors, current_model_name, get_embedder
from workloads.documents.exceptions import EmbeddingModelMismatchError, EmbeddingUnavailableError
from workloads.documents.folding import fold_near_duplicates, shingles_of
from workloads.documents.fusion import Candidates, rank
from workloads.documents.highlighting import Span, find_highlights, mark_highlights
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.parents import read_texts, without_siblings
from workloads.documents.split_settings import CHUNKS_A_PARENT, Chunking
from workloads.documents.terms import query_terms, to_tsqueries
from workloads.documents.vector_index import has_vector_index, widen_search

MAX_TOP_K = 50
MAX_QUERY_LENGTH = 1_000
MAX_DATASETS = 10
# Each ranking has this many times the requested results, so that a chunk in the middle of both can win.
_DEPTH_FACTOR, _MIN_DEPTH = 4, 50
# Chunks that are read for each result, since near-duplicates of a better one are not results of their own.
_READ_FACTOR = 3
# Rarer terms weigh more; a query with more terms than this is a page, and the rest only costs time.
_MAX_TERMS = 64

_SQL = load_sql(__file__)
_BY_VECTOR_EXACTLY, _BY_VECTOR_INDEX, _BY_TEXT = _SQL["rank_exactly"], _SQL["rank_by_index"], _SQL["rank_by_text"]
_SIMILARITY = _SQL["measure_similarity"]

type Ranking = list[tuple[UUID, float]]


class SearchMode(StrEnum):
    """How chunks are found: by both rankings fused, by vectors only, or by words only."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that matched a search, with its document.

    ``text`` is that of its parent, or its own if it has none. The score is 0 to 1, and by vectors as low as -1; scores
    of one mode can be compared between datasets. ``highlights`` are the places of the query's terms in the text, and
    ``duplicates`` the chunks with nearly the same text that would have followed.
    """

    chunk: Chunk
    text: str
    score: float
    highlights: Sequence[Span] = ()
    duplicates: Sequence[Chunk] = ()

    @property
    def marked(self) -> SafeString:
        """Return the text as HTML with its highlights in ``<mark>``."""
        return mark_highlights(self.text, self.highlights)


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


def search_datasets(
    *,
    datasets: Sequence[Dataset],
    query: str,
    top_k: int = 10,
    mode: SearchMode = SearchMode.HYBRID,
    min_score: float | None = None,
    is_folded: bool = True,
    timings: Timings | None = None,
    vector: Vector | None = None,
) -> list[Hit]:
    """Return the best ``top_k`` (at most 50) chunks of the datasets for a query, best first.

    Call it in the tenant's scope. Each dataset is searched with its own weights. Chunks below ``min_score``, or that of
    their dataset, are left out; near-duplicates of a better one are folded into it if ``is_folded``. The durations are
    added to ``timings``; ``vector`` is that of the query if the caller has it. Raise `EmbeddingModelMismatchError` or
    `EmbeddingUnavailableError` if the query cannot be embedded.
    """
    timings = timings or Timings()
    limit = max(1, min(top_k, MAX_TOP_K))
    if mode is not SearchMode.TEXT and vector is None:
        for dataset in datasets:
            require_current_model(dataset)
        with timings.part("embedding"):
            vector = embed_query(query)
    scores: dict[UUID, float] = {}
    for dataset in datasets:
        found = find_candidates(dataset, query, limit=limit, mode=mode, vector=vector, timings=timings)
        least = dataset.min_score if min_score is None else min_score
        scores |= dict(select(found, mode=mode, text_weight=dataset.text_weight, min_score=least))
    with timings.part("reading"):
        depth = max(read_depth(dataset, limit, is_folded=is_folded) for dataset in datasets)
        best = rank(scores)[:depth]
        return _read_hits(best, query_terms(query), limit=limit, is_folded=is_folded)


def read_depth(dataset: Dataset, limit: int, *, is_folded: bool = True) -> int:
    """Return how many of the best chunks of a dataset are read for ``limit`` results; those of a parent are one."""
    is_parented = dataset.chunking == Chunking.PARENT_CHILD
    return limit * (_READ_FACTOR if is_folded else 1) * (CHUNKS_A_PARENT if is_parented else 1)


def search_dataset(*, dataset: Dataset, query: str, **options: Any) -> list[Hit]:
    """Return the best chunks of one dataset for a query, as `search_datasets` does."""
    return search_datasets(datasets=[dataset], query=query, **options)


def find_candidates(
    dataset: Dataset,
    query: str,
    *,
    limit: int,
    mode: SearchMode = SearchMode.HYBRID,
    vector: Vector | None = None,
    timings: Timings | None = None,
) -> Candidates[UUID]:
    """Return what the rankings of the mode find in a dataset, deep enough for ``limit`` results.

    In the hybrid mode, chunks that only words found have their similarity too.
    """
    timings = timings or Timings()
    depth = max(_MIN_DEPTH, _DEPTH_FACTOR * read_depth(dataset, limit, is_folded=False))
    text: Ranking = []
    similarity: Ranking = []
    rare_share = 0.0
    if mode is not SearchMode.VECTOR:
        with timings.part("words"):
            text, rare_share = rank_by_text(dataset, query, depth)
    if mode is not SearchMode.TEXT:
        with timings.part("vectors"):
            vector = embed_query(query) if vector is None else vector
            similarity = rank_by_vector(dataset, depth, vector)
            known = dict(similarity)
            similarity += _measure_similarity(dataset, vector, [chunk for chunk, _ in text if chunk not in known])
    return Candidates(dict(text), dict(similarity), rare_share)


def select(
    found: Candidates[UUID], *, mode: SearchMode, text_weight: float | None = None, min_score: float | None = None
) -> Ranking:
    """Return the candidates of a mode with their scores, best first, without those below a least score."""
    if mode is SearchMode.HYBRID:
        ranking = found.fuse(text_weight)
    else:
        ranking = rank(found.text if mode is SearchMode.TEXT else found.similarity)
    return [(chunk, score) for chunk, score in ranking if min_score is None or score >= min_score]


def rank_by_vector(dataset: Dataset, limit: int, vector: Vector) -> Ranking:
    """Return the ids of up to ``limit`` chunks with their scores: the cosine of their vector and the query's.

    Raise `EmbeddingModelMismatchError` if the dataset has vectors of another model.
    """
    require_current_model(dataset)
    parameters = _vector_scope(dataset, vector) | {"limit": limit}
    if has_vector_index(dataset.pk):
        widen_search(limit)
        return _rank(_BY_VECTOR_INDEX, parameters)
    return _rank(_BY_VECTOR_EXACTLY, parameters)


def require_current_model(dataset: Dataset) -> None:
    """Raise `EmbeddingModelMismatchError` if the dataset was embedded by another model than the one in use."""
    if dataset.embedding_model != current_model_name():
        raise EmbeddingModelMismatchError(
            "The dataset was embedded by %(model)s; %(current)s is in use. Search by text, or re-index the dataset.",
            {"model": dataset.embedding_model, "current": current_model_name()},
        )


def _measure_similarity(dataset: Dataset, vector: Vector, chunks: Sequence[UUID]) -> Ranking:
    return _rank(_SIMILARITY, _vector_scope(dataset, vector) | {"chunks": list(chunks)}) if chunks else []


def embed_query(query: str) -> Vector:
    """Return the vector of a query, without the database; raise `EmbeddingUnavailableError` if that fails."""
    try:
        vectors: Vectors = get_embedder().embed([query])
    except TransientError as error:
        wait = error.retry_after_seconds
        seconds = None if wait is None else math.ceil(wait)
        raise EmbeddingUnavailableError(
            "%(error)s Search by text meanwhile.", {"error": error}, retry_after_seconds=seconds
        ) from error
    except PermanentError as error:
        raise EmbeddingUnavailableError("%(error)s Search by text.", {"error": error}) from error
    return cast("Vector", vectors[0])


def _documents_of_other_models(dataset: Dataset) -> list[UUID]:
    """Return documents whose vectors cannot be compared: they wait for the dataset's new model, and are found by words
    only.
    """
    others = Document.objects.filter(dataset=dataset).exclude(served_model__in=["", dataset.embedding_model])
    return list(others.values_list("pk", flat=True))


def rank_by_text(dataset: Dataset, query: str, limit: int) -> tuple[Ranking, float]:
    """Return the ids and scores of up to ``limit`` chunks that share words with the query; rare words weigh more.

    The second value is the share of the query's terms that are rare in the dataset.
    """
    terms = to_tsqueries(query_terms(query)[:_MAX_TERMS])
    if not terms:
        return [], 0.0
    asked = {"terms": terms, "any_term": " | ".join(terms), "limit": limit}
    rows = fetch_all(_BY_TEXT, _scope_of(dataset) | asked, is_planned=True)
    return [(row.id, float(row.score)) for row in rows], rows[0].rare_share if rows else 0.0


def _vector_scope(dataset: Dataset, vector: Vector) -> dict[str, Any]:
    others = _documents_of_other_models(dataset)
    return _scope_of(dataset) | {"vector": f"[{','.join(map(str, vector.tolist()))}]", "others": others}


def _scope_of(dataset: Dataset) -> dict[str, Any]:
    # Row-level security needs no tenant here; the index on (tenant, dataset) does.
    return {"tenant_id": dataset.tenant_id, "dataset_id": dataset.pk}


def _rank(statement: str, parameters: dict[str, Any]) -> Ranking:
    return [(row.id, float(row.score)) for row in fetch_all(statement, parameters, is_planned=True)]


def _read_hits(best: Sequence[tuple[UUID, float]], terms: Sequence[str], *, limit: int, is_folded: bool) -> list[Hit]:
    scores = dict(best)
    chunks = Chunk.objects.filter(pk__in=scores).select_related("document").defer("embedding", "search").in_bulk()
    # A chunk that was deleted between the two reads is left out.
    ranked = without_siblings(chunks[chunk_id] for chunk_id in scores if chunk_id in chunks)
    ranked = ranked if is_folded else ranked[:limit]
    texts = read_texts(ranked)
    groups = [[chunk] for chunk in ranked]
    if is_folded:
        folded = fold_near_duplicates([shingles_of(texts[chunk.pk]) for chunk in ranked], limit=limit)
        groups = [[ranked[position] for position in group] for group in folded]
    return [
        Hit(first, text := texts[first.pk], min(1.0, scores[first.pk]), find_highlights(text, terms), others)
        for first, *others in groups
    ]
