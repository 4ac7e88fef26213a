"""First occurrences of causes: each evaluation counts the errors since the last one by tenant and fingerprint."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import dict_row

from scheduling.conf import BY_INDEX
from tenants.context import all_tenants
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql

PAGE = 5_000
# Errors are read when they are this old: a transaction that began earlier may commit later ones.
SETTLED_AFTER = timedelta(seconds=2)
# Without a position, such as after an installation, older errors are not new.
FIRST = timedelta(minutes=10)
_COUNT = load_sql(__file__)["count_causes"]


def count_causes(since: UUID | None, now: datetime) -> UUID | None:
    """Count the errors after ``since`` by cause, a page at most; return the last one's id, the next position.

    Call it in the transaction that stores the position, so that no error counts twice.
    """
    with all_tenants(BY_INDEX, has_savepoint=False):
        values = {
            "since": since or uuid7_floor(now - FIRST),
            "until": uuid7_floor(now - SETTLED_AFTER),
            "page": PAGE,
        }
        row = fetch_one(_COUNT, values, dict_row)
    return row["last_id"] or since
