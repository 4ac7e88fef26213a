"""The tables that every job passes through and leaves: how large they are, how many dead rows, how often vacuumed."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

HOT = {
    "ready lines": "scheduling_job_ready",
    "executions in flight": "scheduling_execution_live",
    "settled": "scheduling_settled",
    "wake": "scheduling_wake",
    "tally": "scheduling_tally",
    "entities": "scheduling_schedulingentity",
}
_SIZES = """
SELECT relname, n_dead_tup, pg_table_size(relid), pg_indexes_size(relid), vacuum_count + autovacuum_count
FROM pg_stat_user_tables WHERE relname = ANY (%s)
"""


@dataclass(frozen=True, slots=True)
class Size:
    """Dead rows, bytes of the table and of its indexes, vacuums since the statistics began."""

    dead: int
    table: int
    indexes: int
    vacuums: int

    @property
    def whole(self) -> int:
        return self.table + self.indexes


def read_sizes() -> dict[str, Size]:
    """Each hot table as it is now."""
    with connection.cursor() as cursor:
        cursor.execute(_SIZES, [list(HOT.values())])
        found = {name: Size(*numbers) for name, *numbers in cursor.fetchall()}
    return {what: found[table] for what, table in HOT.items()}
