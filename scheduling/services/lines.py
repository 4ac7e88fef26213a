"""The lines in which a tenant's jobs wait: in each queue one for those without a fair key, and one for each key.

A key's line is made with its first job and removed by upkeep when it has long been empty. A transaction that puts jobs
into one shares a lock on the tenant's lines with others that do, so that upkeep does not remove it meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.models import SchedulingEntity, TenantCapacity
from tenants.context import all_tenants
from tenants.locks import LockClass, hash_of_tenant
from tenants.models import Tenant
from tenants.prepared import prepared_cursor

# Empty lines of keys that are ahead of their siblings: so many of one tenant in one queue stay.
KEPT_IDLE_KEYS = 1_000

type Line = tuple[int, str]

# The lines of keys that are wanted: those of given jobs, or those of a tenant that are named.
_OF_JOBS = """
SELECT DISTINCT tenant_id, queue_id, fair_key FROM scheduling_job WHERE id = ANY(%(job_ids)s) AND fair_key <> ''
"""
_NAMED = """
SELECT %(tenant_id)s::uuid AS tenant_id, queue_id, fair_key
FROM unnest(%(queue_ids)s::bigint[], %(keys)s::text[]) AS named (queue_id, fair_key)
"""
_HOLD = f"""
SELECT {LockClass.LINES.share(hash_of_tenant())}
FROM (SELECT DISTINCT tenant_id FROM (<wanted>) AS wanted ORDER BY 1) AS tenants
"""  # noqa: S608 - constants
# In one order, so that two transactions that open the same lines do not wait for each other.
_OPEN = """
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, parent_id, fair_key, weight_milli, vruntime, is_runnable,
    in_flight, waiting, head_rank, estimate_us)
SELECT e.tenant_id, e.queue_id, e.id, wanted.fair_key, 1000, 0, false, 0, 0, 0::bigint, e.estimate_us
FROM (<wanted>) AS wanted JOIN scheduling_schedulingentity e
    ON e.tenant_id = wanted.tenant_id AND e.queue_id = wanted.queue_id AND e.parent_id IS NULL
ORDER BY e.tenant_id, e.queue_id, wanted.fair_key
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


def line_ids(tenant: Tenant, lines: Collection[Line]) -> dict[Line, int]:
    """Return the entity of each of the tenant's lines, made where it is missing.

    Lock the tenant's lines of keys against removal until this transaction ends, before they are read.
    """
    ids = {(queue_id, ""): entity_id for queue_id, entity_id in _own_ids(tenant, {q for q, _ in lines}).items()}
    if keyed := sorted({line for line in lines if line[1]}):
        queue_ids, keys = [q for q, _ in keyed], [key for _, key in keyed]
        _open_lines(_NAMED, {"tenant_id": tenant.pk, "queue_ids": queue_ids, "keys": keys})
        found = SchedulingEntity.objects.filter(queue_id__in=set(queue_ids), fair_key__in=set(keys))
        ids |= {
            (queue_id, key): entity_id for queue_id, key, entity_id in found.values_list("queue_id", "fair_key", "id")
        }
    return ids


def open_key_lines(job_ids: Collection[UUID]) -> None:
    """Open the missing lines of these jobs' keys, and lock the lines against removal until this transaction ends."""
    _open_lines(_OF_JOBS, {"job_ids": list(job_ids)})


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


def _open_lines(wanted: str, parameters: dict[str, Any]) -> None:
    """Lock first, by a statement of its own: the next one sees what was removed until then."""
    with connection.cursor() as cursor:
        for statement in (_HOLD, _OPEN):
            cursor.execute(statement.replace("<wanted>", wanted), parameters)


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
