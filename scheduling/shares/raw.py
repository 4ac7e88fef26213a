"""Execution of raw SQL statements that the ORM cannot express."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.rows import RowFactory, namedtuple_row

from tenants.context import require_scope
from tenants.database.prepared import fetch_all


def fetch_rows(
    statement: str, parameters: Mapping[str, Any] | None = None, *, row_factory: RowFactory[Any] = namedtuple_row
) -> list[Any]:
    """Return all rows of a SQL statement; raise an error outside a tenant context, as model managers do."""
    require_scope()
    return fetch_all(statement, parameters or {}, row_factory, is_planned=True)
