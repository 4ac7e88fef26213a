"""Approximate vector index (HNSW) of one large dataset.

There is no such index over all tenants: filtered by tenant, it would return neighbours from other tenants and few or
none of the tenant's own, and the planner would choose it without notice. A partial index has the rows of one dataset
only.
"""

from __future__ import annotations

from uuid import UUID

from django.db.backends.utils import CursorWrapper
from psycopg import sql
from psycopg.rows import scalar_row

from tenants.database.prepared import execute, fetch_one, set_config
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_IS_VALID = _SQL["is_index_valid"]
# Size of the candidate list as a multiple of the results; pgvector's bounds are 1 and 1,000.
_VIEW_FACTOR, _MIN_VIEW, _MAX_VIEW = 4, 200, 1_000
_PREFIX = "retrieval_chunk_hnsw_"
_OWN_INDEXES = _SQL["find_indexes"]


def index_name(dataset_id: UUID) -> str:
    """Return the name of a dataset's index, whether it exists or not."""
    return f"{_PREFIX}{dataset_id.hex}"


def has_vector_index(dataset_id: UUID) -> bool:
    """Return whether the dataset has a valid index; one that is being built or has failed is not valid."""
    values = {"name": f"public.{index_name(dataset_id)}"}
    return fetch_one(_IS_VALID, values, scalar_row, is_planned=True) is True


def widen_search(limit: int) -> None:
    """Let index searches in this transaction examine enough neighbours, and go on until they have ``limit`` results."""
    view = max(_MIN_VIEW, min(_VIEW_FACTOR * limit, _MAX_VIEW))
    execute(*set_config({"hnsw.ef_search": str(view), "hnsw.iterative_scan": "strict_order"}), is_planned=True)


def create_index(cursor: CursorWrapper, dataset_id: UUID) -> None:
    """Build the index of a dataset without blocking reads and writes.

    Call it outside of a transaction, with a cursor of the tables' owner.
    """
    statement = sql.SQL(
        "CREATE INDEX CONCURRENTLY {name} ON public.retrieval_chunk USING hnsw (embedding vector_ip_ops)"
        " WHERE dataset_id = {dataset}"
    ).format(name=sql.Identifier(index_name(dataset_id)), dataset=sql.Literal(dataset_id))
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
