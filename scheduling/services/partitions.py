"""The days of history: a partition each, made before their first row arrives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection

from scheduling.models import Charge, Execution, JobError, JobEvent, JobLog
from tenants.context import all_tenants
from tenants.ids import uuid7_floor
from tenants.partitions import create_partition

DAYS_AHEAD = 7
# A partition wants a short exclusive lock; behind a long report it waits for the next run instead
# of making every job wait behind it.
LOCK_TIMEOUT = "2s"
_TABLES = tuple(model._meta.db_table for model in (Execution, JobEvent, Charge, JobLog, JobError))
_PARTITIONED_UNTIL = """
    SELECT parent.relname, pg_get_expr(child.relpartbound, child.oid)
    FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent JOIN pg_class child ON child.oid = i.inhrelid
    WHERE parent.relname = ANY(%s)
"""


def maintain_partitions(*, days_ahead: int = DAYS_AHEAD) -> list[str]:
    """Give each of the coming days a partition in every history table; the names of the new ones.

    Today is left to the partition that holds its rows already. Each partition is made in a
    transaction of its own, so that what is made stays made.
    """
    made = []
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone()
        cursor.execute(_PARTITIONED_UNTIL, [list(_TABLES)])
        bounds = cursor.fetchall()
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for table in _TABLES:
        taken = " ".join(bound for parent, bound in bounds if parent == table)
        for day in range(1, days_ahead + 1):
            starts_at = midnight + timedelta(days=day)
            if f"FROM ('{uuid7_floor(starts_at)}')" not in taken:
                made.append(_make(table, starts_at))
    return made


def _make(table: str, starts_at: datetime) -> str:
    with all_tenants():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        return create_partition(table=table, starts_at=starts_at, ends_at=starts_at + timedelta(days=1))
