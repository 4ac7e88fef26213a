"""Reads of one row."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet


def first_or_raise[RowT](rows: QuerySet[Any, RowT], error: Exception | type[Exception]) -> RowT:
    """Return the first of the rows; raise the error if there is none."""
    row = rows.first()
    if row is None:
        raise error
    return row
