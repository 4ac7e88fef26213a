"""Reading a tenant's settings: as they were within the last second, else one row."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any
from uuid import UUID

from psycopg.rows import scalar_row

from tenants.cache.shared_cache import SharedCache
from tenants.context import current_scope, tenant_context
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql
from tenants.models import Tenant, TenantSettings
from tenants.secrets.references import is_reference
from tenants.settings.schema import Setting, all_settings, get_setting

_STORED = load_sql(__file__)["read_settings"]


def settings_of(tenant: Tenant | UUID) -> Mapping[str, Any]:
    """Every declared setting with the tenant's value or its default; less than a second old."""
    tenant_id = tenant if isinstance(tenant, UUID) else tenant.pk
    return _kept.get(str(tenant_id), lambda: _read_values(tenant_id))


def tenant_setting(tenant: Tenant | UUID, key: str) -> Any:
    """One setting of the tenant; SettingUnknownError for a key that no installed app declares."""
    get_setting(key)
    return settings_of(tenant)[key]


def read_stored(tenant_id: UUID) -> TenantSettings:
    """The tenant's own values as they are now; an unsaved row of version 0 where it has set nothing."""
    if current_scope() is None:
        with tenant_context(tenant_id):
            return _read(tenant_id)
    return _read(tenant_id)


def effective_values(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """The declared settings; a stored value that its schema no longer takes counts as not set."""
    return {key: _value(setting, stored) for key, setting in all_settings().items()}


def orphaned_keys(stored: Mapping[str, Any]) -> list[str]:
    """The keys whose plug-in is not installed; one that comes back finds its values again.

    The values are not shown: nobody is there to say which of them are secret.
    """
    return sorted(key for key in stored if key not in all_settings())


def forget_settings(tenant_id: UUID) -> None:
    """Have the tenant's settings read anew, at once here and within a second elsewhere."""
    _kept.forget(str(tenant_id))


def _read_values(tenant_id: UUID) -> Mapping[str, Any]:
    """Only what it has set."""
    scope = nullcontext() if current_scope() is not None else tenant_context(tenant_id)
    with scope, prepared_cursor(scalar_row) as cursor:
        cursor.execute(_STORED, {"tenant_id": tenant_id})
        return cursor.fetchone() or {}


def _read(tenant_id: UUID) -> TenantSettings:
    row: TenantSettings | None = TenantSettings.objects.filter(tenant_id=tenant_id).first()
    return row or TenantSettings(tenant_id=tenant_id)


def _value(setting: Setting, stored: Mapping[str, Any]) -> Any:
    if setting.key not in stored or setting.faults(stored[setting.key]):
        return setting.default
    value = stored[setting.key]
    # A secret in plain was not stored by the service.
    return setting.default if setting.is_secret and not is_reference(value) else value


def _has_secret(stored: Mapping[str, Any]) -> bool:
    """Return whether a value is secret, or may be: of an undeclared key that cannot be known."""
    declared = all_settings()
    return any(key not in declared or declared[key].is_secret for key in stored)


_kept = SharedCache("settings", effective_values, is_secret=_has_secret)
