"""Search in datasets: by meaning, by words, or by both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import DataError

from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from workloads.documents.embedding import Vector
from workloads.documents.exceptions import EmbeddingModelMismatchError, ModelReplacedError
from workloads.documents.filters import Filter, read_filter
from workloads.documents.folding import fold_near_duplicates, shingles_of
from workloads.documents.fusion import Candidates, rank
from workloads.documents.highlighting import find_highlights
from workloads.documents.models import Chunk, Dataset
from workloads.documents.parents import read_texts, without_siblings
from workloads.documents.query_embedding import embed_query, query_embedder
from workloads.documents.reranking import CANDIDATES, Reranking, rerank
from workloads.documents.search_results import Hit, Timings
from workloads.documents.split_settings import CHUNKS_A_PARENT, Chunking
from workloads.documents.terms import query_terms, to_tsqueries
from workloads.documents.vector_index import has_vector_index, index_statement, widen_search
from workloads.model_endpoints.usage import record_usage

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
_BY_VECTOR_FILTERED = _SQL["rank_filtered"]
_SIMILARITY = _SQL["measure_similarity"]
# While vectors of a new model are moved to the chunks.
_MOVING, _MOVING_SIMILARITY = _SQL["rank_moving"], _SQL["measure_moving"]

NO_FILTER = Filter()

type Ranking = list[tuple[UUID, float]]
# The vectors of a query by the names of the models that made them.
type QueryVectors = Mapping[str, Vector]


class SearchMode(StrEnum):
    """How chunks are found: by both rankings fused, by vectors only, or by words only."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Found:
    """The chunks that a search found, best first, with texts and scores: more than its results, which `finish` makes.

    The text of a chunk is that of its parent, if it has one.
    """

    query: str
    chunks: Sequence[Chunk]
    texts: Mapping[UUID, str]
    scores: Mapping[UUID, float]
    limit: int
    is_folded: bool
    is_reranked: bool


def search_datasets(*, timings: Timings | None = None, reranking: Reranking | None = None, **options: Any) -> list[Hit]:
    """Return the best ``top_k`` (at most 50) chunks of the datasets for a query, best first.

    The options are those of `find`; the durations are added to ``timings``, and ``reranking`` is filled in.
    """
    timings = timings or Timings()
    return finish(find(timings=timings, **options), timings=timings, reranking=reranking)


def find(
    *,
    datasets: Sequence[Dataset],
    query: str,
    top_k: int = 10,
    mode: SearchMode = SearchMode.HYBRID,
    min_score: float | None = None,
    is_folded: bool = True,
    metadata_filter: object = None,
    is_reranked: bool | None = None,
    timings: Timings | None = None,
    vectors: QueryVectors | None = None,
) -> Found:
    """Return the best chunks of the datasets for a query, enough for ``top_k`` (at most 50) results.

    Call it in the tenant's scope. Each dataset is searched with its own weights and its own embedding model. Chunks
    below ``min_score``, or that of their dataset, are left out, and so are those of documents that ``metadata_filter``
    excludes. Without ``is_reranked`` the datasets decide. ``vectors`` are those of the query that the caller has. Raise
    `FieldInvalidError` for a faulty filter, `EmbeddingModelMismatchError` or `EmbeddingUnavailableError` if the query
    cannot be embedded.
    """
    timings = timings or Timings()
    limit = max(1, min(top_k, MAX_TOP_K))
    filters = [read_filter(dataset.fields, metadata_filter) for dataset in datasets]
    known = dict(vectors or {})
    scores: dict[UUID, float] = {}
    for dataset, matching in zip(datasets, filters, strict=True):
        found = _find_by_current_model(
            dataset, query, known, limit=limit, mode=mode, matching=matching, timings=timings
        )
        least = dataset.min_score if min_score is None else min_score
        scores |= dict(select(found, mode=mode, text_weight=dataset.text_weight, min_score=least))
    if is_reranked is None:
        is_reranked = any(dataset.is_reranked for dataset in datasets)
    with timings.part("reading"):
        factor = max(read_factor(dataset, is_folded=is_folded) for dataset in datasets)
        read = max(limit * factor, CANDIDATES if is_reranked else 0)
        best = dict(rank(scores)[:read])
        chunks = without_siblings(_read_chunks(best))
        return Found(query, chunks, read_texts(chunks), best, limit, is_folded, is_reranked)


def finish(found: Found, *, timings: Timings | None = None, reranking: Reranking | None = None) -> list[Hit]:
    """Return the results of a search: re-ranked if it asks for that, and near-duplicates of a better one folded into it
    if it is to be folded. It does not use the database.
    """
    ranked, texts = found.chunks, found.texts
    if found.is_reranked:
        with (timings or Timings()).part("reranking"):
            order = rerank(found.query, [texts[chunk.pk] for chunk in ranked], reranking or Reranking())
        ranked = [ranked[position] for position in order]
    groups = [[chunk] for chunk in ranked[: found.limit]]
    if found.is_folded:
        folded = fold_near_duplicates([_shingles(chunk, texts[chunk.pk]) for chunk in ranked], limit=found.limit)
        groups = [[ranked[position] for position in group] for group in folded]
    terms = query_terms(found.query)
    return [
        Hit(first, text := texts[first.pk], min(1.0, found.scores[first.pk]), find_highlights(text, terms), others)
        for first, *others in groups
    ]


def _shingles(chunk: Chunk, text: str) -> frozenset[tuple[str, ...]]:
    """Return the shingles by which a chunk is folded: a summary is no near-duplicate of a text of a document."""
    shingles = shingles_of(text)
    return frozenset(("summary", *one) for one in shingles) if chunk.is_summary else shingles


def read_factor(dataset: Dataset, *, is_folded: bool = True) -> int:
    """Return how many of the best chunks of a dataset are read for each result; those of a parent are one."""
    is_parented = dataset.chunking == Chunking.PARENT_CHILD
    return (_READ_FACTOR if is_folded else 1) * (CHUNKS_A_PARENT if is_parented else 1)


def _find_by_current_model(
    dataset: Dataset, query: str, vectors: dict[str, Vector], *, mode: SearchMode, timings: Timings, **options: Any
) -> Candidates[UUID]:
    """Return what the mode finds, by the model that serves now. New vectors of the query are added to ``vectors``."""
    while True:
        if mode is not SearchMode.TEXT and dataset.embedding_model not in vectors:
            with timings.part("embedding"):
                embedder = query_embedder(dataset.tenant_id, dataset.embedding_model)
                vectors[dataset.embedding_model] = embed_query(embedder, query)
                record_usage(dataset.tenant_id, embedder.take_usage())
        vector = vectors.get(dataset.embedding_model)
        try:
            return find_candidates(dataset, query, mode=mode, vector=vector, timings=timings, **options)
        except ModelReplacedError:
            # Each turn needs another change of the model.
            dataset.refresh_from_db(fields=["embedding_model", "next_model"])


def search_dataset(*, dataset: Dataset, query: str, **options: Any) -> list[Hit]:
    """Return the best chunks of one dataset for a query, as `search_datasets` does."""
    return search_datasets(datasets=[dataset], query=query, **options)


def find_candidates(
    dataset: Dataset,
    query: str,
    *,
    limit: int,
    mode: SearchMode = SearchMode.HYBRID,
    vector: Vector | None,
    matching: Filter = NO_FILTER,
    timings: Timings | None = None,
) -> Candidates[UUID]:
    """Return what the rankings of the mode find in a dataset, deep enough for ``limit`` results.

    ``vector`` is that of the query by the dataset's model, None for the mode text. In the hybrid mode, chunks that only
    words found have their similarity too. Raise `ModelReplacedError` as `rank_by_vector` does.
    """
    timings = timings or Timings()
    depth = max(_MIN_DEPTH, _DEPTH_FACTOR * limit * read_factor(dataset, is_folded=False))
    text: Ranking = []
    similarity: Ranking = []
    rare_share = 0.0
    if mode is not SearchMode.VECTOR:
        with timings.part("words"):
            text, rare_share = rank_by_text(dataset, query, depth, matching)
    if mode is not SearchMode.TEXT and vector is not None:
        with timings.part("vectors"):
            similarity = rank_by_vector(dataset, depth, vector, matching)
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


def rank_by_vector(dataset: Dataset, limit: int, vector: Vector, matching: Filter = NO_FILTER) -> Ranking:
    """Return the ids of up to ``limit`` matching chunks with their scores: the cosine of their vector and the query's.

    Raise `ModelReplacedError` if another model serves than the one of ``dataset``.
    """
    asked = {"limit": limit} | matching.parameters
    if dataset.is_moving:
        return _rank(_MOVING, dataset, vector, asked)
    if has_vector_index(dataset):
        widen_search(limit)
        found = _rank(index_statement(_BY_VECTOR_INDEX, len(vector)), dataset, vector, asked)
        if len(found) == limit:
            return found
        # So few chunks match, or are of searched documents, that the scan of the index ended before it had enough.
    return _rank(_BY_VECTOR_FILTERED if matching else _BY_VECTOR_EXACTLY, dataset, vector, asked)


def _measure_similarity(dataset: Dataset, vector: Vector, chunks: Sequence[UUID]) -> Ranking:
    statement = _MOVING_SIMILARITY if dataset.is_moving else _SIMILARITY
    return _rank(statement, dataset, vector, {"chunks": list(chunks)}) if chunks else []


def rank_by_text(dataset: Dataset, query: str, limit: int, matching: Filter = NO_FILTER) -> tuple[Ranking, float]:
    """Return the ids and scores of up to ``limit`` matching chunks with words of the query; rare words weigh more.

    The second value is the share of the query's terms that are rare in the dataset.
    """
    terms = to_tsqueries(query_terms(query)[:_MAX_TERMS])
    if not terms:
        return [], 0.0
    asked = {"terms": terms, "any_term": " | ".join(terms), "limit": limit} | matching.parameters
    rows = fetch_all(_BY_TEXT, _scope_of(dataset) | asked, is_planned=True)
    return [(row.id, float(row.score)) for row in rows], rows[0].rare_share if rows else 0.0


def _scope_of(dataset: Dataset) -> dict[str, Any]:
    # Row-level security needs no tenant here; the index on (tenant, dataset) does.
    return {"tenant_id": dataset.tenant_id, "dataset_id": dataset.pk}


def _rank(statement: str, dataset: Dataset, vector: Vector, parameters: Mapping[str, Any]) -> Ranking:
    of_query = {"model": dataset.embedding_model, "vector": f"[{','.join(map(str, vector.tolist()))}]"}
    try:
        rows = fetch_all(statement, {**_scope_of(dataset), **of_query, **parameters}, is_planned=True)
    except DataError as error:
        raise EmbeddingModelMismatchError(
            "The dataset has vectors of another size than %(model)s computes now. Search by text, or re-embed the "
            "dataset by another model.",
            {"model": dataset.embedding_model},
        ) from error
    if not rows:
        serving = Dataset.objects.filter(pk=dataset.pk).values_list("embedding_model", flat=True).first()
        if serving not in (None, dataset.embedding_model):
            raise ModelReplacedError
    return [(row.id, float(row.score)) for row in rows]


def _read_chunks(best: Mapping[UUID, float]) -> list[Chunk]:
    """Return the chunks in this order. One that was deleted between the two reads is left out."""
    chunks = Chunk.objects.filter(pk__in=best).select_related("document").defer("embedding", "search").in_bulk()
    return [chunks[chunk_id] for chunk_id in best if chunk_id in chunks]
