"""Scheduling's part of the erasure of a tenant: cancels running jobs, deletes its keys and its archive.

Waiting jobs need not be cancelled: jobs of a suspended tenant are never dispatched, and their rows are erased with the
tenant's other rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from scheduling.archive import store
from scheduling.dispatch import broker_keys
from scheduling.exceptions import BrokerAwayError, BrokerUnavailableError
from scheduling.models import Alert, ArchiveObject, Investigation, LiveExecution
from scheduling.stops.tenant_work import cancel_running
from tenants.erasure.erasers import Erased, Eraser

REASON = "the tenant is erased"


def erase(tenant_id: UUID, most: int) -> Erased:
    """Cancel the jobs in flight or, when they have stopped, delete alerts, archived objects and keys.

    Return whether all is done. It does not wait: it is called again until all is done.
    """
    in_flight = LiveExecution.objects.filter(tenant_id=tenant_id)
    if in_flight.filter(cancel_requested_at=None).exists():
        cancel_running(tenant_id=tenant_id, reason=REASON)
    left = in_flight.count()
    if left:
        return Erased(is_done=False, note=f"Waits for {left} running jobs to stop.")
    # Those of the platform name the tenant; its own are erased with its other rows.
    Alert.objects.filter(tenant=None, about_tenant=tenant_id).delete()
    Investigation.objects.filter(tenant=None, named_tenants__contains=[tenant_id]).delete()
    archived = store.list_keys(tenant_id)[:most] if _has_archive(tenant_id) else []
    for key in archived:
        store.delete(key)
    if archived:
        return Erased(is_done=False, removed={"archived_objects": len(archived)})
    try:
        return Erased(is_done=True, removed={"keys": broker_keys.delete_keys_of(tenant_id)})
    except BrokerUnavailableError:
        return Erased(is_done=False, note="Waits for the broker, which is unavailable.")


def count(tenant_id: UUID) -> Mapping[str, int]:
    """Return the number of the tenant's archived objects, and of its keys in broker and cache.

    Raise ArchiveUnavailableError, or BrokerAwayError without a broker.
    """
    archived = len(store.list_keys(tenant_id)) if _has_archive(tenant_id) else 0
    try:
        return {"archived_objects": archived, "keys": broker_keys.count_keys_of(tenant_id)}
    except BrokerUnavailableError as error:
        raise BrokerAwayError from error


def _has_archive(tenant_id: UUID) -> bool:
    """Return whether there may be objects: there is an archive, or rows of one that is no longer set."""
    return store.is_archiving() or ArchiveObject.objects.filter(tenant_id=tenant_id, stored_at__isnull=False).exists()


ERASER = Eraser(erase, count)
