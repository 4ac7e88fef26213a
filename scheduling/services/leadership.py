"""One process of many does a thing at a time: a lock that lives no longer than its transaction."""

from __future__ import annotations

from scheduling.conf import LOCK_TIMEOUT_MS, TICK_IDLE_TIMEOUT_MS
from tenants.locks import LockClass
from tenants.prepared import prepared_cursor


def lead(lock: LockClass, of: int = 0) -> bool:
    """Take the lock for this transaction, or say that another process has it.

    A process that is stopped inside the transaction is cut off after TICK_IDLE_TIMEOUT_MS, and its lock with it.
    One that waits for a row that somebody holds fails after LOCK_TIMEOUT_MS, and takes its next turn.
    """
    with prepared_cursor() as cursor:
        cursor.execute(
            f"SELECT set_config('idle_in_transaction_session_timeout', %s, true), set_config('lock_timeout', %s, true),"
            f" {lock.attempt('%s')}",
            [str(TICK_IDLE_TIMEOUT_MS), str(LOCK_TIMEOUT_MS), of],
        )
        return bool(cursor.fetchone()[2])
