"""Reads of rows: the first one, and dataclasses of them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def first_or_raise[RowT](rows: QuerySet[Any, RowT], error: Exception | type[Exception]) -> RowT:
    """Return the first of the rows; raise the error if there is none."""
    row = rows.first()
    if row is None:
        raise error
    return row


def from_row[RecordT: "DataclassInstance"](record: type[RecordT], row: Any, **given: Any) -> RecordT:
    """Return an instance of the dataclass: the given values, and the row's attributes for all other fields."""
    values = {field.name: getattr(row, field.name) for field in fields(record) if field.name not in given}
    return record(**values, **given)
