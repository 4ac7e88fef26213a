"""Rows of several models from one statement that is written once: for what is asked at each request.

To make the text of a query set of three models takes Django longer than PostgreSQL takes to answer it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, models


def select_list(chosen: Mapping[str, type[models.Model]]) -> str:
    """All columns of the models by the names that their tables have in the statement."""
    quote = connection.ops.quote_name
    columns = [(name, str(field.column)) for name, model in chosen.items() for field in model._meta.concrete_fields]
    return ", ".join(f"{quote(name)}.{quote(column)}" for name, column in columns)


def read_rows(chosen: Mapping[str, type[models.Model]], values: Sequence[Any]) -> list[models.Model]:
    """The rows of one line of the answer, in the order of `select_list`; what stands after them is left."""
    rows, left = [], iter(values)
    for model in chosen.values():
        fields = model._meta.concrete_fields
        held = [_read(field, next(left)) for field in fields]
        rows.append(model.from_db(connection.alias, [field.attname for field in fields], held))
    return rows


def _read(field: models.Field[Any, Any], value: Any) -> Any:
    for convert in field.get_db_converters(connection):
        value = convert(value, field.cached_col, connection)
    return value
