"""The tables that hold rows of a tenant, read from PostgreSQL's catalog so that none is missed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from uuid import UUID

from django.db import connection
from psycopg import sql

from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.models import AuditCounter, TenantErasure

_SQL = load_sql(__file__)
_COLUMNS = _SQL["find_columns"]
_COMPARED = re.compile(r"\((\w+) = \(NULLIF\(current_setting\('app\.tenant_id'")
_REFERENCES = _SQL["find_references"]
_DELETE = sql.SQL(
    "DELETE FROM public.{table} x USING (SELECT tableoid AS o, ctid AS c FROM public.{table} WHERE {column} = %s"
    " LIMIT %s) r WHERE x.{column} = %s AND x.tableoid = r.o AND x.ctid = r.c"
)
_COUNT = sql.SQL("SELECT count(*) FROM public.{table} WHERE {column} = %s")


@dataclass(frozen=True, slots=True)
class TenantTable:
    """A table, and the column in which it holds the tenant's id."""

    name: str
    column: str


def tenant_tables() -> list[TenantTable]:
    """Return all tables with rows of tenants, a referring table before the table that it refers to.

    The records that outlive a tenant, erasures and audit counters, are left out.
    """
    columns: dict[str, str] = {}
    for table in fetch_all(_COLUMNS, {}, is_planned=True):
        compared = _COMPARED.search(table.found)
        if table.found == "tenant_id" or compared:
            columns.setdefault(table.name, "tenant_id" if compared is None else compared[1])
    references = fetch_all(_REFERENCES, is_planned=True)
    for record in (TenantErasure, AuditCounter):
        del columns[record._meta.db_table]
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(sorted(columns), ()))
    for reference in references:
        if reference.child in columns and reference.parent in columns:
            order.add(reference.parent, reference.child)
    return [TenantTable(table, columns[table]) for table in order.static_order()]


def count_rows(tenant_id: UUID) -> Mapping[str, int]:
    """Return the number of the tenant's rows in each table, by table name."""
    return {table.name: _run(_COUNT, table, [tenant_id]) for table in tenant_tables()}


def delete_rows(table: TenantTable, tenant_id: UUID, *, most: int) -> int:
    """Delete up to `most` of the tenant's rows from the table. Return how many were deleted."""
    return _run(_DELETE, table, [tenant_id, most, tenant_id])


def _run(statement: sql.SQL, table: TenantTable, values: list[object]) -> int:
    composed = statement.format(table=sql.Identifier(table.name), column=sql.Identifier(table.column))
    with connection.cursor() as cursor:
        cursor.execute(composed.as_string(None), values)  # type: ignore[arg-type]
        return int(cursor.fetchone()[0]) if cursor.description else cursor.rowcount
