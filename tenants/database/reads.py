"""Reads of rows: the first one, and dataclasses of them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django.db.models import QuerySet


def first_or_raise[RowT](rows: QuerySet[Any, RowT], error: Exception | type[Exception]) -> RowT:
    """Return the first of the rows; raise the error if there is none."""
    row = rows.first()
    if row is None:
        raise error
    return row


def from_row[RecordT](record: type[RecordT], row: Any, **given: Any) -> RecordT:
    """Return an instance of the dataclass: the given values, and the row's attributes for all other fields."""
    names = [field.name for field in fields(record)]  # type: ignore[arg-type] # no type says dataclass
    values = {name: getattr(row, name) for name in names if name not in given}
    return record(**values, **given)
