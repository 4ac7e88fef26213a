"""The lines in which a tenant's jobs wait: in each queue one for those without a fair key, and one for each key.

A key's line is made with its first job and removed by upkeep when it has long been empty. Whoever puts jobs into one
holds the tenant's lines for the transaction, shared with all others who do, so that it is not removed meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.models import Job, SchedulingEntity, TenantCapacity
from tenants.context import all_tenants
from tenants.locks import LockClass, hash_of_tenant
from tenants.models import Tenant
from tenants.prepared import prepared_cursor

# Empty lines of keys that are ahead of their siblings: so many of one tenant in one queue stay.
KEPT_IDLE_KEYS = 1_000

type Line = tuple[int, str]

_HOLD = f"""
SELECT {LockClass.LINES.share(hash_of_tenant())}
FROM (SELECT DISTINCT tenant_id FROM scheduling_job WHERE id = ANY(%s) AND fair_key <> '' ORDER BY 1) AS tenants
"""  # noqa: S608 - constants
_OPEN = """
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, parent_id, fair_key, weight_milli, vruntime, is_runnable,
    in_flight, waiting, head_rank, estimate_us)
SELECT DISTINCT j.tenant_id, j.queue_id, e.id, j.fair_key, 1000, 0, false, 0, 0, 0::bigint, e.estimate_us
FROM scheduling_job j JOIN scheduling_schedulingentity e
    ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.parent_id IS NULL
WHERE j.id = ANY(%s) AND j.fair_key <> ''
ON CONFLICT (tenant_id, queue_id, fair_key) DO NOTHING
"""
_OWN = """
SELECT queue_id, id FROM scheduling_schedulingentity
WHERE tenant_id = %s::uuid AND queue_id = ANY(%s::bigint[]) AND parent_id IS NULL
"""
# A key that returns starts at its siblings' virtual time anyway, so one that is not ahead of it loses nothing. Nobody
# is ahead of others when the tenant has nothing to do at all. What is ahead is kept, but not without end.
_IDLE = """
    SELECT id, tenant_id FROM (
        SELECT k.id, k.tenant_id,
            k.vruntime <= e.virtual_time OR e.waiting + e.keys_waiting + e.in_flight + e.keys_in_flight = 0 AS is_level,
            row_number() OVER (PARTITION BY k.parent_id ORDER BY k.vruntime DESC, k.id) AS n
        FROM scheduling_schedulingentity k JOIN scheduling_schedulingentity e ON e.id = k.parent_id
        WHERE NOT k.is_runnable AND k.in_flight = 0 AND k.waiting = 0
          AND NOT EXISTS (SELECT FROM scheduling_wake w WHERE w.entity_id = k.id)
    ) AS idle WHERE is_level OR n > %(kept)s LIMIT %(limit)s
"""
# Tenants whose lines somebody holds are left for the next time. The rows are chosen anew under the lock, by a
# statement of its own: what was committed before is then seen.
_LOCK_IDLE = f"""
SELECT tenant_id FROM (SELECT DISTINCT tenant_id FROM ({_IDLE}) AS idle) AS tenants
WHERE {LockClass.LINES.attempt(hash_of_tenant())}
"""  # noqa: S608 - constants
_REMOVE = f"""
DELETE FROM scheduling_schedulingentity k USING ({_IDLE}) AS idle
WHERE k.id = idle.id AND k.tenant_id = ANY(%(tenants)s) AND k.in_flight = 0 AND k.waiting = 0 AND NOT k.is_runnable
"""  # noqa: S608 - constants


def line_ids(tenant: Tenant, jobs: Sequence[Job]) -> dict[Line, int]:
    """The entity of each line that stored ``jobs`` of the tenant wait in, made where it is missing."""
    lines = {(job.queue_id, job.fair_key) for job in jobs}
    ids = {(queue_id, ""): entity_id for queue_id, entity_id in _own_ids(tenant, {q for q, _ in lines}).items()}
    if keys := {key for _, key in lines if key}:
        open_key_lines([job.pk for job in jobs if job.fair_key])
        found = SchedulingEntity.objects.filter(queue_id__in={q for q, _ in lines}, fair_key__in=keys)
        ids |= {
            (queue_id, key): entity_id for queue_id, key, entity_id in found.values_list("queue_id", "fair_key", "id")
        }
    return ids


def open_key_lines(job_ids: Collection[UUID]) -> None:
    """See that the lines of these jobs' keys are there, and that they stay until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, [list(job_ids)])
        cursor.execute(_OPEN, [list(job_ids)])


def remove_idle_lines(limit: int) -> int:
    """Remove the lines of keys that are empty and not ahead of their siblings, at most ``limit``; how many."""
    parameters: dict[str, Any] = {"kept": KEPT_IDLE_KEYS, "limit": limit}
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_LOCK_IDLE, parameters)
        tenants = [tenant_id for (tenant_id,) in cursor.fetchall()]
        if not tenants:
            return 0
        cursor.execute(_REMOVE, parameters | {"tenants": tenants})
        return int(cursor.rowcount)


def _own_ids(tenant: Tenant, queue_ids: Collection[int]) -> dict[int, int]:
    with prepared_cursor() as cursor:
        cursor.execute(_OWN, [tenant.pk, sorted(queue_ids)])
        found = dict(cursor.fetchall())
    missing = sorted(set(queue_ids) - set(found))
    if not missing:
        return found
    TenantCapacity.objects.bulk_create([TenantCapacity(tenant=tenant)], ignore_conflicts=True)
    SchedulingEntity.objects.bulk_create(
        [SchedulingEntity(tenant=tenant, queue_id=queue_id) for queue_id in missing],
        ignore_conflicts=True,
    )
    return _own_ids(tenant, queue_ids)
