"""Charges of further time slices to running jobs.

With time slices, a dispatch is charged at most one slice, because it may end there. A job that keeps its slot is
charged another slice when the last is used, as if it had been dispatched again. So clocks follow what runs, not what
was predicted, and a tenant that returns meanwhile starts where the others really are.
"""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import scalar_row

from scheduling.execution.settlement import longest_us
from tenants.database.ids import uuid7s
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_USED = _SQL["find_used_slices"]
_CHARGE = _SQL["charge_slices"]


def charge_slices(pool_id: int, free: list[UUID] | None = None) -> None:
    """Charge another slice to each of the pool's executions that have used up their charge.

    ``free``: charge only executions of these tenants; None: of all.
    """
    with prepared_cursor(scalar_row) as cursor:
        cursor.execute(_USED, {"pool_id": pool_id, "free": free, "most_us": longest_us()})
        ids = cursor.fetchall()
        if ids:
            charge_ids = uuid7s(len(ids))
            cursor.execute(_CHARGE, {"pool_id": pool_id, "ids": ids, "charge_ids": charge_ids, "most_us": longest_us()})
