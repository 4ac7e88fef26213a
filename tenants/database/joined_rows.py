"""Rows of several models from one statement that is written once: for what is asked at each request.

To make the text of a query set of three models takes Django longer than PostgreSQL takes to answer it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.base import ModelState


def select_list(chosen: Mapping[str, type[models.Model]]) -> str:
    """All columns of the models by the names that their tables have in the statement."""
    quote = connection.ops.quote_name
    columns = [(name, str(field.column)) for name, model in chosen.items() for field in model._meta.concrete_fields]
    return ", ".join(f"{quote(name)}.{quote(column)}" for name, column in columns)


def read_rows(chosen: Mapping[str, type[models.Model]], values: Sequence[Any]) -> list[models.Model]:
    """The rows of one line of the answer, in the order of `select_list`; what stands after them is left."""
    rows, begin = [], 0
    for model in chosen.values():
        names, converted = _columns_of(model)
        held = list(values[begin : begin + len(names)])
        begin += len(names)
        for place, field, converters in converted:
            for convert in converters:
                held[place] = convert(held[place], field.cached_col, connection)
        rows.append(_stored(model, zip(names, held, strict=True)))
    return rows


def rows_of_json[Row: models.Model](model: type[Row], documents: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Stored rows from what `to_json` makes of them in PostgreSQL, by their columns; others there are passed over."""
    fields = model._meta.concrete_fields
    return [
        _stored(model, [(field.attname, field.to_python(document[str(field.column)])) for field in fields])
        for document in documents
    ]


def _stored[Row: models.Model](model: type[Row], values: Iterable[tuple[str, Any]]) -> Row:
    """As `Model.from_db`, without the signals that nobody here hears."""
    row = model.__new__(model)
    row._state = ModelState()
    row._state.adding, row._state.db = False, connection.alias
    row.__dict__.update(values)
    return row


@cache
def _columns_of(model: type[models.Model]) -> tuple[list[str], list[tuple[int, models.Field[Any, Any], list[Any]]]]:
    """The attributes of a row, and the places of those that are not what the driver gives."""
    fields = list(enumerate(model._meta.concrete_fields))
    converted = [(place, field, field.get_db_converters(connection)) for place, field in fields]
    return [field.attname for _, field in fields], [entry for entry in converted if entry[2]]
