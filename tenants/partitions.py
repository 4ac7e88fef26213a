"""Partitions by time of creation, made and dropped by functions that the owner owns.

The application's roles own no tables; the two functions do this one thing for them, and only the
platform role may call them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection, migrations
from psycopg import sql

from tenants.conf import platform_role
from tenants.ids import uuid7_floor

# SECURITY DEFINER runs as the owner, so the search path is fixed and every name is checked and quoted.
_CREATE_PARTITION = """
CREATE FUNCTION public.create_partition(parent text, from_id uuid, to_id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition text := left(parent, 48) || '_' || left(replace(from_id::text, '-', ''), 12);
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname = parent AND c.relkind = 'p'
    ) THEN
        RAISE EXCEPTION 'public.% is not a partitioned table', parent USING ERRCODE = 'undefined_table';
    END IF;
    EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, parent, from_id, to_id);
    RETURN partition;
END $$
"""
_DROP_PARTITION = """
CREATE FUNCTION public.drop_partition(partition text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname = partition AND c.relispartition
          AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
    ) THEN
        RAISE EXCEPTION 'public.% is not a partition that can be dropped', partition
            USING ERRCODE = 'undefined_table';
    END IF;
    EXECUTE format('DROP TABLE public.%I', partition);
END $$
"""
_SIGNATURES = ("public.create_partition(text, uuid, uuid)", "public.drop_partition(text)")


class CreatePartitionFunctions(migrations.RunSQL):
    """Create `create_partition` and `drop_partition`, callable by the platform role alone."""

    def __init__(self) -> None:
        super().__init__(
            sql=[_CREATE_PARTITION, _DROP_PARTITION],
            reverse_sql=[f"DROP FUNCTION {signature}" for signature in _SIGNATURES],
        )

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [], {}

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        super().database_forwards(app_label, schema_editor, from_state, to_state)
        for signature in _SIGNATURES:
            schema_editor.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
            grant = sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(
                sql.SQL(signature),
                sql.Identifier(platform_role()),
            )
            schema_editor.execute(grant.as_string(schema_editor.connection.connection))


def create_partition(*, table: str, starts_at: datetime, ends_at: datetime) -> str:
    """Give the rows of `table` created in [starts_at, ends_at) a partition; returns its name. Behind the door only."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT public.create_partition(%s, %s, %s)", [table, uuid7_floor(starts_at), uuid7_floor(ends_at)]
        )
        row = cursor.fetchone()
    assert row is not None  # a function always returns one row
    return str(row[0])


def drop_partition(*, partition: str) -> None:
    """Drop a partition with its rows; never the default one. Behind the door only."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT public.drop_partition(%s)", [partition])
