"""Management of tenants' data keys: create missing ones, re-encrypt them by a new master key, replace them.

No stored value changes: a re-encrypted key is the same key, and a replaced key still decrypts the values that it has
encrypted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_noop

from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.encryption.data_keys import forget_keys, master_keys, new_data_key
from tenants.encryption.envelope import SealBrokenError
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import is_sealing
from tenants.exceptions import DomainError
from tenants.models import Tenant, TenantDataKey

BATCH_KEYS = 500
FIRST = UUID(int=0)
TARGET = "tenants.tenantdatakey"


class NoMasterKeyError(DomainError):
    code, category = "no_master_key", "conflict"
    title = gettext_noop("ENCRYPTION_MASTER_KEYS is empty, so values are stored unencrypted.")


@dataclass(frozen=True, slots=True)
class KeyPage:
    """The number of keys changed by one call; ``last`` is the key or tenant to continue after, None at the end."""

    changed: int
    last: UUID | None


def require_master_key() -> None:
    """Raise `NoMasterKeyError` if no master key is configured."""
    if not is_sealing():
        raise NoMasterKeyError


def make_missing_keys() -> int:
    """Create a data key for up to BATCH_KEYS tenants that have none. Return for how many; 0 means that none is left."""
    require_master_key()
    with all_tenants():
        own = TenantDataKey.objects.filter(tenant_id=OuterRef("pk"))
        ids = list(Tenant.objects.filter(~Exists(own)).order_by("pk").values_list("pk", flat=True)[:BATCH_KEYS])
        # A tenant that has created one meanwhile keeps it.
        TenantDataKey.objects.bulk_create([new_data_key(tenant_id) for tenant_id in ids], ignore_conflicts=True)
    return len(ids)


def rewrap_keys(*, after: UUID = FIRST, most: int = BATCH_KEYS) -> KeyPage:
    """Re-encrypt, by the current master key, the next data keys that other master keys have encrypted. Audit it.

    Raise `DataKeyUnavailableError` if a needed master key is not configured; then no key of this call changes.
    """
    require_master_key()
    masters = master_keys()
    with all_tenants():
        others = TenantDataKey.objects.exclude(master_key_id=masters.current_id).filter(pk__gt=after)
        rows = list(others.order_by("pk").select_for_update(no_key=True)[:most])
        for row in rows:
            try:
                secret = masters.unwrap(
                    bytes(row.wrapped), master_id=row.master_key_id, tenant_id=row.tenant_id, key_id=row.pk
                )
            except KeyError as error:
                raise DataKeyUnavailableError(
                    "Data key %(pk)s: ENCRYPTION_MASTER_KEYS lacks the master key %(master_key)s.",
                    {"pk": row.pk, "master_key": row.master_key_id},
                ) from error
            except SealBrokenError as error:
                raise DataKeyUnavailableError("Data key %(pk)s: the stored key was altered.", {"pk": row.pk}) from error
            row.wrapped = masters.wrap(secret, tenant_id=row.tenant_id, key_id=row.pk)
            row.master_key_id = masters.current_id
        TenantDataKey.objects.bulk_update(rows, ["wrapped", "master_key_id"])
        if rows:
            facts = {"keys": len(rows), "master_key_id": masters.current_id}
            record_audit(action="encryption.keys_rewrapped", target=AuditTarget(TARGET), after=facts)
    return KeyPage(len(rows), rows[-1].pk if rows else None)


def replace_keys(*, after: UUID = FIRST, most: int = BATCH_KEYS, tenant: Tenant | None = None) -> KeyPage:
    """Give the next tenants a new data key, which encrypts their values from now on. Audit it.

    Other processes use the new keys within a minute.
    """
    require_master_key()
    with all_tenants():
        in_use = TenantDataKey.objects.filter(retired_at__isnull=True, tenant_id__gt=after)
        if tenant is not None:
            in_use = in_use.filter(tenant=tenant)
        # A concurrent caller finds them retired, so each tenant gets one new key.
        rows = list(in_use.order_by("tenant_id").select_for_update(no_key=True)[:most])
        _retire([row.pk for row in rows])
        TenantDataKey.objects.bulk_create([new_data_key(row.tenant_id) for row in rows])
        if rows:
            facts = {"keys": len(rows), "tenant": tenant.slug if tenant else "all"}
            record_audit(action="encryption.keys_replaced", target=AuditTarget(TARGET), after=facts)
    forget_keys()
    return KeyPage(len(rows), rows[-1].tenant_id if rows else None)


def _retire(key_ids: Sequence[UUID]) -> None:
    TenantDataKey.objects.filter(pk__in=key_ids).update(retired_at=TransactionNow())
