"""Approximate index for one large dataset.

There is no HNSW index over all tenants: filtered by tenant, it returns neighbours of other tenants and few or none of
the tenant's own, and the planner chooses it silently. A partial index of one dataset has only its rows.
"""

from __future__ import annotations

from uuid import UUID

from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from tenants.database.prepared import set_config
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_IS_VALID = _SQL["is_index_valid"]
# Size of the candidate list as a multiple of the results; pgvector's bounds are 1 and 1,000.
_VIEW_FACTOR, _MIN_VIEW, _MAX_VIEW = 4, 200, 1_000
_PREFIX = "retrieval_chunk_hnsw_"
_OWN_INDEXES = _SQL["find_indexes"]


def index_name(dataset_id: UUID) -> str:
    """Return the name that the dataset's index has."""
    return f"{_PREFIX}{dataset_id.hex}"


def has_vector_index(dataset_id: UUID) -> bool:
    """Return True if the dataset has a valid index; one that is being built, or failed, does not count."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_VALID, {"name": f"public.{index_name(dataset_id)}"})
        return bool(cursor.fetchone() == (True,))


def widen_search(limit: int) -> None:
    """Let an approximate search of this transaction examine enough neighbours, and continue until it has ``limit``."""
    view = max(_MIN_VIEW, min(_VIEW_FACTOR * limit, _MAX_VIEW))
    with connection.cursor() as cursor:
        cursor.execute(*set_config({"hnsw.ef_search": str(view), "hnsw.iterative_scan": "strict_order"}))


def create_index(cursor: CursorWrapper, dataset_id: UUID) -> None:
    """Build the dataset's index without blocking reads and writes; call it outside a transaction, as the owner."""
    statement = sql.SQL(
        "CREATE INDEX CONCURRENTLY {name} ON public.retrieval_chunk USING hnsw (embedding vector_ip_ops)"
        " WHERE dataset_id = {dataset}"
    ).format(name=sql.Identifier(index_name(dataset_id)), dataset=sql.Literal(dataset_id))
    cursor.execute(statement.as_string(cursor.connection))


def drop_index(cursor: CursorWrapper, name: str) -> None:
    """Drop an index of one dataset without blocking reads and writes; call it outside a transaction, as the owner."""
    statement = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS public.{}").format(sql.Identifier(name))
    cursor.execute(statement.as_string(cursor.connection))


def list_indexes(cursor: CursorWrapper) -> set[str]:
    """Return the names of all datasets' indexes, valid or not."""
    cursor.execute(_OWN_INDEXES, {})
    return {name for (name,) in cursor.fetchall()}
