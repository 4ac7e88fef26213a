"""Partitions by time of creation. Two SQL functions, owned by the tables' owner, create and drop them.

The application's roles own no tables, so they need these functions. Only the platform role may call them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import migrations
from psycopg import sql
from psycopg.rows import namedtuple_row, scalar_row

from tenants.database.ids import uuid7_floor
from tenants.database.prepared import planned_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_PARTITIONS_WITHOUT = _SQL["find_partitions_without"]


def create_partition(*, table: str, starts_at: datetime, ends_at: datetime) -> str:
    """Create the partition of `table` for the ids of rows created in [starts_at, ends_at). Return the partition's name.

    Call it in the scope of all tenants.
    """
    values: dict[str, Any] = {"table": table, "from_id": uuid7_floor(starts_at), "to_id": uuid7_floor(ends_at)}
    with planned_cursor(scalar_row) as cursor:
        cursor.execute(_SQL["create_partition"], values)
        return str(cursor.fetchone())


def drop_partition(*, partition: str) -> None:
    """Drop a partition and its rows; the default partition is never dropped. Call it in the scope of all tenants."""
    with planned_cursor() as cursor:
        cursor.execute(_SQL["drop_partition"], {"partition": partition})


class AddPartitionedIndex(migrations.AddIndex):
    """AddIndex for a partitioned table in use: the index is built partition by partition, without blocking writers.

    PostgreSQL cannot build an index on a partitioned table concurrently, but it adopts indexes built on the partitions.
    The migration must not be atomic. If it was interrupted, run it again: it continues.
    """

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Create the index on the table, and on each partition that does not have it yet."""
        model = to_state.apps.get_model(app_label, self.model_name)
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(model._meta.get_field(name).column), sql.SQL(order or "ASC"))
            for name, order in self.index.fields_orders
        )
        names = {"index": sql.Identifier(self.index.name), "table": sql.Identifier(model._meta.db_table)}
        create = sql.SQL("CREATE INDEX IF NOT EXISTS {index} ON ONLY {table} ({columns})")
        with planned_cursor(namedtuple_row, connection=schema_editor.connection) as cursor:
            cursor.execute(create.format(columns=columns, **names))
            cursor.execute(_PARTITIONS_WITHOUT, {"table": model._meta.db_table, "index": self.index.name})
            for partition in cursor.fetchall():
                own = {"own": sql.Identifier(partition.own_name), "partition": sql.Identifier(partition.name)}
                for step in _ADD_TO_PARTITION:
                    cursor.execute(sql.SQL(step).format(columns=columns, **own, **names))


_ADD_TO_PARTITION = (
    "DROP INDEX CONCURRENTLY IF EXISTS {own}",
    "CREATE INDEX CONCURRENTLY {own} ON {partition} ({columns})",
    "ALTER INDEX {index} ATTACH PARTITION {own}",
)
