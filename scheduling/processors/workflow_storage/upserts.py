"""Many rows in one statement, each merged with what is stored of it: :mod:`merging` in SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from django.db import connection

from scheduling.processors.workflow_storage.merging import NODES, RUNS, Row, Shape, collapse
from scheduling.processors.workflow_storage.offloading import VALUE_COLUMNS, offload
from scheduling.processors.workflow_storage.records import TERMINAL_STATES

_UPSERT = """
    INSERT INTO {table} AS t ({columns})
    SELECT {columns} FROM jsonb_to_recordset(%s::jsonb) AS r({typed})
    ON CONFLICT ({key}) DO UPDATE SET {changes}
    WHERE NOT (t.state IN ({terminal}) AND excluded.version > t.version) AND ({has_news})
"""


def _changes(shape: Shape) -> dict[str, str]:
    """What each column becomes; only rows that have news get here."""
    changes = {name: _if_newer(name, "version") for name in shape.head}
    for value in shape.values:
        changes |= {value + suffix: _if_newer(value + suffix, f"{value}_version") for suffix in VALUE_COLUMNS}
    changes |= {name: f"coalesce(t.{name}, excluded.{name})" for name in shape.once}
    return changes | _ends(shape)


def _has_news(shape: Shape) -> str:
    """Whether a row says anything that is not known yet."""
    versions = ["version", *(f"{value}_version" for value in shape.values)]
    news = [f"excluded.{name} > t.{name}" for name in versions]
    news += [f"t.{name} IS NULL AND excluded.{name} IS NOT NULL" for name in shape.once]
    news += [f"{end} IS DISTINCT FROM t.{name}" for name, end in _ends(shape).items()]
    return " OR ".join(news)


def _ends(shape: Shape) -> dict[str, str]:
    return {name: f"least(t.{name}, excluded.{name})" for name in shape.first} | {
        name: f"greatest(t.{name}, excluded.{name})" for name in shape.last
    }


def _if_newer(name: str, version: str) -> str:
    return f"CASE WHEN excluded.{version} > t.{version} THEN excluded.{name} ELSE t.{name} END"


def _statement(shape: Shape) -> str:
    types: dict[str, str] = {**shape.fixed, **shape.head}
    for value in shape.values:
        types |= {value + suffix: column for suffix, column in VALUE_COLUMNS.items()}
    types |= dict.fromkeys(shape.once, "jsonb")
    types |= dict.fromkeys(shape.first, "timestamptz") | dict.fromkeys(shape.last, "int")
    return _UPSERT.format(
        table=shape.table,
        columns=", ".join(types),
        typed=", ".join(f"{name} {column}" for name, column in types.items()),
        key=", ".join(shape.key),
        changes=", ".join(f"{name} = {change}" for name, change in _changes(shape).items()),
        terminal=", ".join(f"'{state}'" for state in sorted(TERMINAL_STATES)),
        has_news=_has_news(shape),
    )


_STATEMENTS: Final = {shape.table: _statement(shape) for shape in (RUNS, NODES)}


def upsert(rows: Iterable[Row], shape: Shape) -> int:
    """Store the rows in the current transaction; how many of them changed anything."""
    placed = [offload(row, shape) for row in collapse(rows, shape)]
    if not placed:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENTS[shape.table], [json.dumps(placed)])
        return int(cursor.rowcount)
