"""Leadership among processes: an advisory lock that is held until the end of the transaction."""

from __future__ import annotations

from psycopg.rows import scalar_row

from scheduling.conf import LOCK_TIMEOUT_MS, TICK_IDLE_TIMEOUT_MS
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_one
from tenants.database.sql import load_sql

_LEAD = load_sql(__file__)["try_to_lead"]


def try_to_lead(lock: LockClass, of: int = 0) -> bool:
    """Take an advisory lock until this transaction ends; return False if another process holds it.

    A process that stalls inside the transaction loses its session, and with it the lock, after TICK_IDLE_TIMEOUT_MS. A
    process that waits for a locked row fails after LOCK_TIMEOUT_MS, and retries at its next call.
    """
    values = {
        "led_lock": lock.value,
        "key": of,
        "idle_timeout": str(TICK_IDLE_TIMEOUT_MS),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
    }
    return bool(fetch_one(_LEAD, values, scalar_row))
