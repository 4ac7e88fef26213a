"""The tables that hold rows of a tenant, asked of the database's catalog, so that none can be forgotten."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from uuid import UUID

from django.db import connection
from psycopg import sql

from tenants.models import AuditCounter, TenantErasure

# A table is a tenant's if it has a column `tenant_id`, or one that row-level security compares with the tenant.
_COLUMNS = """
SELECT c.relname, 'tenant_id' FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attname = 'tenant_id' AND NOT a.attisdropped
UNION
SELECT tablename, coalesce(qual, with_check) FROM pg_policies
WHERE schemaname = 'public' AND coalesce(qual, with_check) LIKE '%app.tenant_id%'
"""
_COMPARED = re.compile(r"\((\w+) = \(NULLIF\(current_setting\('app\.tenant_id'")
_REFERENCES = """
SELECT child.relname, parent.relname
FROM pg_constraint k JOIN pg_class child ON child.oid = k.conrelid JOIN pg_class parent ON parent.oid = k.confrelid
WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND NOT child.relispartition AND NOT parent.relispartition
"""
_DELETE = sql.SQL(
    "DELETE FROM public.{table} x USING (SELECT tableoid AS o, ctid AS c FROM public.{table} WHERE {column} = %s"
    " LIMIT %s) r WHERE x.{column} = %s AND x.tableoid = r.o AND x.ctid = r.c"
)
_COUNT = sql.SQL("SELECT count(*) FROM public.{table} WHERE {column} = %s")


@dataclass(frozen=True, slots=True)
class TenantTable:
    """A table and its column with the tenant's id."""

    name: str
    column: str


def tenant_tables() -> list[TenantTable]:
    """All of them, whatever refers to another before that other. The records of erasures are none."""
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        columns: dict[str, str] = {}
        for table, said in cursor.fetchall():
            compared = _COMPARED.search(said)
            if said == "tenant_id" or compared:
                columns.setdefault(table, "tenant_id" if compared is None else compared[1])
        cursor.execute(_REFERENCES)
        references = cursor.fetchall()
    for record in (TenantErasure, AuditCounter):
        del columns[record._meta.db_table]
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(sorted(columns), ()))
    for child, parent in references:
        if child in columns and parent in columns:
            order.add(parent, child)
    return [TenantTable(table, columns[table]) for table in order.static_order()]


def count_rows(tenant_id: UUID) -> Mapping[str, int]:
    """The tenant's rows in every table."""
    return {table.name: _run(_COUNT, table, [tenant_id]) for table in tenant_tables()}


def delete_rows(table: TenantTable, tenant_id: UUID, *, most: int) -> int:
    """Delete up to `most` of the tenant's rows; how many."""
    return _run(_DELETE, table, [tenant_id, most, tenant_id])


def _run(statement: sql.SQL, table: TenantTable, values: list[object]) -> int:
    composed = statement.format(table=sql.Identifier(table.name), column=sql.Identifier(table.column))
    with connection.cursor() as cursor:
        cursor.execute(composed.as_string(None), values)  # type: ignore[arg-type]
        return int(cursor.fetchone()[0]) if cursor.description else cursor.rowcount
