"""Statements that the ORM cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection

from tenants.context import require_scope


def fetch_rows(statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """All rows of a statement; raw SQL passes the first wall by, so a scope is asked for here."""
    require_scope()
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
