"""The fair-share nodes ("lines") in which a tenant's jobs wait.

Each queue has one for the tenant's jobs without a fair key, and one for each key. The node of a key is created with its
first job, and upkeep removes it when it is idle. A transaction that adds jobs takes a shared lock on the nodes of the
tenant's keys, so that upkeep does not remove them meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from psycopg.rows import scalar_row

from scheduling.models import FairShareNode, TenantCapacity
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_all
from tenants.database.sql import load_sql
from tenants.models import Tenant

# The most empty lines of keys ahead of their siblings that one tenant keeps in one queue.
KEPT_IDLE_KEYS = 1_000

type Line = tuple[int, str]

_SQL = load_sql(__file__)
# Lock first, in a separate statement: the next one then sees what was removed until then.
_OPEN_OF_JOBS = (_SQL["hold_lines_of_jobs"], _SQL["open_lines_of_jobs"])
_OPEN_NAMED = (_SQL["hold_named_lines"], _SQL["open_named_lines"])
_OWN, _LOCK_IDLE, _REMOVE = _SQL["read_own_lines"], _SQL["lock_idle_lines"], _SQL["remove_idle_lines"]


def node_ids(tenant: Tenant, lines: Collection[Line]) -> dict[Line, int]:
    """Return the id of the fair-share node of each line (queue id, fair key); create missing nodes.

    Before the nodes of keys are read, lock them against removal until this transaction ends.
    """
    ids = {(queue_id, ""): entity_id for queue_id, entity_id in _own_ids(tenant, {q for q, _ in lines}).items()}
    if keyed := sorted({line for line in lines if line[1]}):
        queue_ids, keys = [q for q, _ in keyed], [key for _, key in keyed]
        _open_lines(_OPEN_NAMED, {"tenant_id": tenant.pk, "queue_ids": queue_ids, "keys": keys})
        found = FairShareNode.objects.filter(queue_id__in=set(queue_ids), fair_key__in=set(keys))
        ids |= {
            (queue_id, key): entity_id for queue_id, key, entity_id in found.values_list("queue_id", "fair_key", "id")
        }
    return ids


def create_key_nodes(job_ids: Collection[UUID]) -> None:
    """Create the missing fair-share nodes of these jobs' fair keys.

    The nodes of their tenants' keys are locked against removal until this transaction ends.
    """
    _open_lines(_OPEN_OF_JOBS, {"job_ids": list(job_ids)})


def delete_idle_key_nodes(limit: int) -> int:
    """Delete up to ``limit`` fair-share nodes of keys without jobs, and return how many.

    A node whose virtual time is ahead of the others of its tenant is kept, up to KEPT_IDLE_KEYS for a tenant in a
    queue.
    """
    parameters = {"kept": KEPT_IDLE_KEYS, "limit": limit, "lines_lock": LockClass.LINES.value}
    with all_tenants():
        tenants = fetch_all(_LOCK_IDLE, parameters, scalar_row)
        return execute(_REMOVE, parameters | {"tenants": tenants}) if tenants else 0


def _open_lines(statements: Iterable[str], parameters: dict[str, Any]) -> None:
    for statement in statements:
        execute(statement, parameters | {"lines_lock": LockClass.LINES.value})


def _own_ids(tenant: Tenant, queue_ids: Collection[int]) -> dict[int, int]:
    found = {row.queue_id: row.id for row in fetch_all(_OWN, {"tenant_id": tenant.pk, "queue_ids": sorted(queue_ids)})}
    missing = sorted(set(queue_ids) - set(found))
    if not missing:
        return found
    TenantCapacity.objects.bulk_create([TenantCapacity(tenant=tenant)], ignore_conflicts=True)
    FairShareNode.objects.bulk_create(
        [FairShareNode(tenant=tenant, queue_id=queue_id) for queue_id in missing],
        ignore_conflicts=True,
    )
    return _own_ids(tenant, queue_ids)
