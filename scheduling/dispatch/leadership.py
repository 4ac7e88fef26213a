"""Leadership: an advisory lock that lasts as long as its transaction."""

from __future__ import annotations

from psycopg.rows import scalar_row

from scheduling.conf import LOCK_TIMEOUT_MS, TICK_IDLE_TIMEOUT_MS
from tenants.database.locks import LockClass
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_LEAD = load_sql(__file__)["try_to_lead"]


def try_to_lead(lock: LockClass, of: int = 0) -> bool:
    """Take the lock for this transaction; return False if another process has it.

    A process that stalls inside the transaction loses its session, and with it the lock, after TICK_IDLE_TIMEOUT_MS.
    One that waits for a locked row fails after LOCK_TIMEOUT_MS, and retries at its next turn.
    """
    values = {
        "led_lock": lock.value,
        "key": of,
        "idle_timeout": str(TICK_IDLE_TIMEOUT_MS),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
    }
    with prepared_cursor(scalar_row) as cursor:
        cursor.execute(_LEAD, values)
        return bool(cursor.fetchone())
