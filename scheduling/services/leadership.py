"""One process of many does a thing at a time: a lock that lives no longer than its transaction."""

from __future__ import annotations

from django.db import connection

from scheduling.conf import TICK_IDLE_TIMEOUT_MS


def lead(lock: int, of: int = 0) -> bool:
    """Take the lock for this transaction, or say that another process has it.

    A process that is stopped inside the transaction is cut off after TICK_IDLE_TIMEOUT_MS, and its lock with it.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = {TICK_IDLE_TIMEOUT_MS}")
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [lock, of])
        return bool(cursor.fetchone()[0])
