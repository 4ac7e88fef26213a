"""Approximate vector index (HNSW) of one large dataset.

There is no such index over all tenants: filtered by tenant, it would return neighbours from other tenants and few or
none of the tenant's own, and the planner would choose it without notice. A partial index has the rows of one dataset
only, and of them the vectors of one size: during a change of the model there may be two.
"""

from __future__ import annotations

import hashlib

from django.db.backends.utils import CursorWrapper
from psycopg import sql
from psycopg.rows import scalar_row

from tenants.database.prepared import execute, fetch_one, set_config
from tenants.database.sql import load_sql
from workloads.documents.models import Dataset

_SQL = load_sql(__file__)
_IS_VALID = _SQL["is_index_valid"]
# Size of the candidate list as a multiple of the results; pgvector's bounds are 1 and 1,000.
_VIEW_FACTOR, _MIN_VIEW, _MAX_VIEW = 4, 200, 1_000
# An index of whole numbers has at most this many dimensions, one of half precision twice as many.
_MOST_OF_VECTOR = 2_000
_PREFIX = "retrieval_chunk_hnsw_"
_OWN_INDEXES = _SQL["find_indexes"]


def index_name(dataset: Dataset) -> str:
    """Return the name of the index of a dataset's model, whether it exists or not."""
    model = hashlib.sha256(dataset.embedding_model.encode()).hexdigest()[:8]
    return f"{_PREFIX}{dataset.pk.hex}_{model}"


def has_vector_index(dataset: Dataset) -> bool:
    """Return whether the dataset has a valid index; one that is being built or has failed is not valid."""
    values = {"name": f"public.{index_name(dataset)}"}
    return fetch_one(_IS_VALID, values, scalar_row, is_planned=True) is True


def index_statement(statement: str, dimensions: int) -> str:
    """Return a statement on vectors of 512 dimensions as one on ``dimensions``, with the type that an index has."""
    kind = "vector" if dimensions <= _MOST_OF_VECTOR else "halfvec"
    return statement.replace("vector(512)", f"{kind}({dimensions:d})").replace("= 512", f"= {dimensions:d}")


def widen_search(limit: int) -> None:
    """Let index searches in this transaction examine enough neighbours, and go on until they have ``limit`` results."""
    view = max(_MIN_VIEW, min(_VIEW_FACTOR * limit, _MAX_VIEW))
    execute(*set_config({"hnsw.ef_search": str(view), "hnsw.iterative_scan": "strict_order"}), is_planned=True)


def create_index(cursor: CursorWrapper, dataset: Dataset, dimensions: int) -> None:
    """Build the index of a dataset without blocking reads and writes.

    Call it outside of a transaction, with a cursor of the tables' owner.
    """
    kind = "vector" if dimensions <= _MOST_OF_VECTOR else "halfvec"
    statement = sql.SQL(
        "CREATE INDEX CONCURRENTLY {name} ON public.retrieval_chunk USING hnsw"
        " ((embedding::{kind}({dimensions})) {operators})"
        " WHERE dataset_id = {dataset} AND vector_dims(embedding) = {dimensions}"
    ).format(
        name=sql.Identifier(index_name(dataset)),
        kind=sql.SQL(kind),
        operators=sql.Identifier(f"{kind}_ip_ops"),
        dataset=sql.Literal(dataset.pk),
        dimensions=sql.Literal(dimensions),
    )
    cursor.execute(statement.as_string(cursor.connection))


def drop_index(cursor: CursorWrapper, name: str) -> None:
    """Drop the index of a dataset without blocking reads and writes.

    Call it outside of a transaction, with a cursor of the tables' owner.
    """
    statement = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS public.{}").format(sql.Identifier(name))
    cursor.execute(statement.as_string(cursor.connection))


def list_indexes(cursor: CursorWrapper) -> set[str]:
    """Return the names of the indexes of all datasets, valid or not."""
    cursor.execute(_OWN_INDEXES, {})
    return {name for (name,) in cursor.fetchall()}
