"""Idempotency keys: a repeated request of a tenant returns the job of the first."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from psycopg.rows import scalar_row

from scheduling.models import Job
from tenants.database.locks import LockClass
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
_LOCK_KEYS, _FIND_REPEATED = _SQL["lock_keys"], _SQL["find_repeated"]


def lock_keys(tenant_id: UUID, keys: Collection[str]) -> tuple[dict[str, Job], set[str]]:
    """Lock idempotency keys of a tenant for this transaction.

    Return the jobs that have them, and the keys that another transaction has locked.
    """
    if not keys:
        return {}, set()
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "keys": sorted(keys),
        "key_lock": LockClass.IDEMPOTENCY_KEY.value,
    }
    with prepared_cursor(scalar_row) as cursor:
        cursor.execute(_LOCK_KEYS, values)
        busy = set(cursor.fetchall())
        # In a separate statement, which sees what was committed before the locks were taken.
        cursor.execute(_FIND_REPEATED, values)
        ids = cursor.fetchall()
    jobs = Job.objects.filter(id__in=ids) if ids else ()
    return {job.idempotency_key or "": job for job in jobs}, busy
