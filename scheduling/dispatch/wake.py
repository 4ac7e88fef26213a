"""Look anew at every entity that news came of: may it be picked, and from which virtual time.

Whoever returns to eligibility starts where its siblings are, among the tenants of its queue as among the keys of its
tenant: waiting earns no credit.
"""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import namedtuple_row

from scheduling.conf import WAKE_ROWS
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_FOLD_KEYS = _SQL["fold_keys"]
_FOLD_TENANTS = _SQL["fold_tenants"]


def fold_wakes(pool_id: int, free: list[UUID] | None = None) -> int:
    """Consume the pool's wakes, at most WAKE_ROWS: two statements; how many there were.

    An edited plan may wake a hundred thousand tenants, so the news of single jobs go before such bulk. A careful
    tick consumes those of the tenants in ``free`` alone.
    """
    with prepared_cursor(namedtuple_row) as cursor:
        cursor.execute(_FOLD_KEYS, {"pool_id": pool_id, "limit": WAKE_ROWS, "free": free})
        rows = cursor.fetchall()
        if news := [row for row in rows if row.entity_id is not None]:
            parameters = {
                "ids": [row.entity_id for row in news],
                "deltas": [row.delta for row in news],
                "keys_deltas": [row.keys_delta for row in news],
            }
            cursor.execute(_FOLD_TENANTS, parameters)
    return int(rows[0].wakes)
