"""Tenants whose rows another transaction has locked: ticks skip them until the rows are free.

A tick waits at most LOCK_TIMEOUT_MS for a lock. After a longer wait it is rolled back and repeated as a careful tick:
it first tests which tenants it can lock, and touches only their rows. The others are recorded with the pool, and every
tick of the pool is careful while any tenant is recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from django.db import OperationalError, transaction
from psycopg.rows import namedtuple_row

from scheduling import signals
from scheduling.conf import STAGE_ROWS, TICK_JOBS, WAKE_ROWS
from scheduling.limits.declared import CPU_SECONDS, IO_MIB, PEAK_MEMORY, WORKER_SECONDS
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_all, prepared_cursor
from tenants.database.sql import load_sql

# Ticks of a pool stay careful for this long after the last lock that they met: a careless tick costs a lock time-out.
CAREFUL_SECONDS = 5.0
# A tenant that was skipped for longer than this returns as from a pause, without credit.
PAUSE_SECONDS = 1.0

_SQL = load_sql(__file__)
_PROBE = _SQL["probe_tenants"]
_HOLDERS_OF_CAPACITY = _SQL["find_capacity_holders"]
_NOTE = _SQL["note_locked_tenants"]
_COME_BACK = _SQL["return_free_tenants"]


def is_lock_timeout(error: OperationalError) -> bool:
    """Return whether the statement timed out waiting for a lock."""
    return isinstance(error.__cause__, psycopg.errors.LockNotAvailable)


def lock_what_is_free(pool_id: int) -> tuple[list[UUID], bool]:
    """Lock the rows of all tenants that are free to lock, for a careful tick, and record the other tenants.

    Return the locked tenants, and whether a tenant that was skipped for long is free again.
    """
    values: dict[str, Any] = {
        "pool_id": pool_id,
        "wakes": WAKE_ROWS,
        "jobs": TICK_JOBS,
        "news": STAGE_ROWS,
        "keys": [limit.key for limit in (WORKER_SECONDS, CPU_SECONDS, IO_MIB, PEAK_MEMORY)],
        "tick_lock": LockClass.TICK.value,
    }
    with prepared_cursor(namedtuple_row) as cursor:
        cursor.execute(_PROBE, values)
        rows = cursor.fetchall()
        free = [row.tenant_id for row in rows if not row.is_held]
        cursor.execute(_COME_BACK, {"pool_id": pool_id, "free": free, "pause_seconds": PAUSE_SECONDS})
        has_come_back = cursor.rowcount > 0
    held = {row.tenant_id: row.pid for row in rows if row.is_held}
    note_locked(pool_id, held, free=free)
    new = {row.tenant_id: row.pid for row in rows if row.is_held and not row.is_noted}
    if new:
        transaction.on_commit(lambda: signals.tenants_left_out.send(None, pool_id=pool_id, holders=new))
    return free, has_come_back


def note_locked(
    pool_id: int, holders: Mapping[UUID, int | None], *, free: Sequence[UUID] = (), is_whole: bool = True
) -> None:
    """Record tenants whose rows are locked, with the server processes that lock them; drop old entries.

    The entries of the tenants in ``free`` are marked as not locked. With ``is_whole`` False only some of the jobs of
    the recorded tenants are locked.
    """
    values: dict[str, Any] = {
        "pool_id": pool_id,
        "tenants": list(holders),
        "pids": list(holders.values()),
        "is_whole": is_whole,
        "free": list(free),
        "careful_seconds": CAREFUL_SECONDS,
    }
    with prepared_cursor() as cursor:
        cursor.execute(_NOTE, values)


def note_held_capacities(pool_id: int, tenant_ids: Collection[UUID]) -> None:
    """Record the tenants whose capacity row a transaction other than a tick has locked; the next tick skips them."""
    values = {"tenants": list(tenant_ids), "tick_lock": LockClass.TICK.value}
    holders = {row.tenant_id: row.pid for row in fetch_all(_HOLDERS_OF_CAPACITY, values)}
    if holders:
        note_locked(pool_id, holders)
