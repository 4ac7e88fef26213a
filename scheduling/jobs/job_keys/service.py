"""Keys by which a submission finds the job that exists: idempotency keys and unique keys.

A repeated idempotency key returns the job of the first request. While a job has a unique key, so does a submission of
the same tenant, kind and key: the start or the end of the job deletes the key's row in its own transaction, and the
unique index decides races.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_noop
from psycopg.rows import scalar_row

from scheduling.models import Job
from tenants.access.errors import RoleNarrowedError
from tenants.context import require_scope
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_all, prepared_cursor
from tenants.database.sql import load_sql
from tenants.exceptions import DomainError

type KindAndKey = tuple[str, str]

_SQL = load_sql(__file__)
_LOCK_KEYS, _FIND_REPEATED = _SQL["lock_keys"], _SQL["find_repeated"]
_FIND_HOLDERS, _CLAIM_KEYS = _SQL["find_holders"], _SQL["claim_keys"]
# The most tries for a key whose job ends between two statements.
_LOOKS = 5


class UniqueKeyBusyError(DomainError):
    code, category = "unique_key_busy", "conflict"
    title = gettext_noop("Jobs with this unique key start and end at this moment")


def lock_idempotency_keys(tenant_id: UUID, keys: Collection[str]) -> tuple[dict[str, Job], set[str]]:
    """Lock idempotency keys of a tenant for this transaction.

    Return the jobs that have them, and the keys that another transaction has locked.
    """
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
    jobs = read_visible(ids) if ids else {}
    return {job.idempotency_key or "": job for job in jobs.values()}, busy


def read_visible(job_ids: Collection[UUID]) -> dict[UUID, Job]:
    """Return the jobs that hold keys; raise `RoleNarrowedError` if the caller's role is narrowed to others."""
    jobs: dict[UUID, Job] = Job.objects.in_bulk(job_ids)
    if len(jobs) < len(set(job_ids)) and require_scope().narrowing is not None:
        raise RoleNarrowedError("A job outside of what your role is narrowed to has this key; use another one.")
    return jobs


def find_holders(tenant_id: UUID, keys: Collection[KindAndKey]) -> dict[KindAndKey, UUID]:
    """Return the jobs of a tenant that have these unique keys."""
    if not keys:
        return {}
    values = {"tenant_id": tenant_id, "kinds": [kind for kind, _ in keys], "keys": [key for _, key in keys]}
    return {(row.kind, row.unique_key): row.job_id for row in fetch_all(_FIND_HOLDERS, values)}


def claim_keys(tenant_id: UUID, jobs: Mapping[KindAndKey, UUID]) -> dict[KindAndKey, UUID]:
    """Give each unique key to its new job, and return the holders of those that other jobs have.

    Wait for concurrent submissions of the same keys. Raise UniqueKeyBusyError for a key that changes hands all the
    time.
    """
    holders: dict[KindAndKey, UUID] = {}
    left = dict(jobs)
    for _ in range(_LOOKS):
        values = {
            "tenant_id": tenant_id,
            "kinds": [kind for kind, _ in left],
            "keys": [key for _, key in left],
            "job_ids": list(left.values()),
        }
        given = set(fetch_all(_CLAIM_KEYS, values, scalar_row))
        left = {place: job_id for place, job_id in left.items() if job_id not in given}
        # In a separate statement, which sees what was committed while the first one waited.
        holders |= find_holders(tenant_id, left)
        left = {place: job_id for place, job_id in left.items() if place not in holders}
        if not left:
            return holders
    raise UniqueKeyBusyError(retry_after_seconds=1)
