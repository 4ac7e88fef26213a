"""Execution of raw SQL that the ORM cannot express."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.rows import RowFactory, namedtuple_row

from tenants.context import require_scope
from tenants.database.prepared import planned_cursor


def fetch_rows(
    statement: str, parameters: Mapping[str, Any] | None = None, *, row_factory: RowFactory[Any] = namedtuple_row
) -> list[Any]:
    """Return all rows of a statement. Require a scope here, since raw SQL has no manager that does."""
    require_scope()
    with planned_cursor(row_factory) as cursor:
        cursor.execute(statement, parameters or {})
        return list(cursor.fetchall())
