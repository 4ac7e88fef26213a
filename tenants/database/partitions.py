"""Partitions by time of creation. Two SQL functions, owned by the tables' owner, create and drop them.

The application's roles own no tables, so they need these functions. Only the platform role may call them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg.rows import scalar_row

from tenants.database.ids import uuid7_floor
from tenants.database.prepared import execute, fetch_one
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)


def create_partition(*, table: str, starts_at: datetime, ends_at: datetime) -> str:
    """Create the partition of `table` for the ids of rows created in [starts_at, ends_at). Return the partition's name.

    Call it in the scope of all tenants.
    """
    values: dict[str, Any] = {"table": table, "from_id": uuid7_floor(starts_at), "to_id": uuid7_floor(ends_at)}
    return str(fetch_one(_SQL["create_partition"], values, scalar_row, is_planned=True))


def drop_partition(*, partition: str) -> None:
    """Drop a partition and its rows; the default partition is never dropped. Call it in the scope of all tenants."""
    execute(_SQL["drop_partition"], {"partition": partition}, is_planned=True)
