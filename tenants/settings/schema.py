"""Which settings a tenant has, declared by the installed apps, each with its schema, default and words; their values.

An app names its group in its AppConfig: `tenant_settings = "package.module:SETTINGS"`. Apps other than the two of the
core prefix their keys with their own label, so that no two plug-ins collide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal
from uuid import UUID

from django.apps import AppConfig, apps
from django.utils.module_loading import import_string
from django.utils.translation import gettext_noop
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.validators import extend
from psycopg.rows import scalar_row

from tenants.cache.shared_cache import SharedCache
from tenants.context import current_scope, tenant_context
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql
from tenants.exceptions import SettingUnknownError
from tenants.models import Tenant, TenantSettings
from tenants.schema_faults import describe_fault
from tenants.secrets.references import SecretReference, is_reference

KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?")
CORE_APPS = frozenset({"tenants", "scheduling"})
FORMATS = FormatChecker()
# JSON Schema accepts 1.0 as an integer; code that counts by a setting does not.
Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda checker, value: type(value) is int),
)
MASK = "••••••"
LATER_JOBS = gettext_noop("Applies to jobs that start later.")

type Editor = Literal["tenant", "platform"]
# Values by key → the faults among them by key: for checks across settings.
type GroupCheck = Callable[[Mapping[str, Any]], Mapping[str, str]]
_STORED = load_sql(__file__)["read_settings"]


class SettingsInvalidError(Exception):
    """Raised if an app declares an invalid group, or a key that is not its own or taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. `schema` is JSON Schema 2020-12; the default must fit it.

    `editor` says who may change it: callers with `tenant.manage`, or the platform only. `plan_limit` is the key of a
    plan's limit that a number may not exceed. A secret value is stored as a secret, bound to the host of the URL in the
    setting `host_of`; the setting itself is a reference to it.
    """

    key: str
    title: str
    help_text: str
    schema: Mapping[str, Any]
    default: Any
    editor: Editor = "tenant"
    is_secret: bool = False
    host_of: str = ""
    effect: str = LATER_JOBS
    plan_limit: str = ""

    @property
    def secret_name(self) -> str:
        """Return the name under which the value of a secret is stored."""
        return self.key.replace(".", "_")

    @property
    def own_reference(self) -> str:
        """Return the reference stored in place of a value that was given to the setting itself."""
        return str(SecretReference(self.secret_name))

    def faults(self, value: Any) -> list[str]:
        """Return what is wrong with a value, in the reader's language."""
        if self.is_secret and is_reference(value):
            return []
        return [describe_fault(fault) for fault in _validator(self.key).iter_errors(value)]

    def shown(self, value: Any) -> Any:
        """Return the value for display and the audit log: of a secret its reference."""
        return MASK if self.is_secret and value not in (None, "") and not is_reference(value) else value


@dataclass(frozen=True, slots=True)
class SettingGroup:
    """The settings of one app, under one heading."""

    title: str
    settings: tuple[Setting, ...]
    check: GroupCheck = field(default=lambda values: {})


def setting_groups() -> list[SettingGroup]:
    """Return all groups, the core's first."""
    return list(_declared()[0])


def all_settings() -> Mapping[str, Setting]:
    """Return every setting by its key, in the order of the groups."""
    return _declared()[1]


def get_setting(key: str) -> Setting:
    """Return the setting of that key; raise `SettingUnknownError` if no installed app declares it."""
    setting = all_settings().get(key)
    if setting is None:
        raise SettingUnknownError("There is no setting %(key)r.", {"key": key})
    return setting


def reset() -> None:
    """Clear the caches, for tests that add a group."""
    _declared.cache_clear()
    _validator.cache_clear()


@cache
def _declared() -> tuple[tuple[SettingGroup, ...], Mapping[str, Setting]]:
    groups: list[SettingGroup] = []
    by_key: dict[str, Setting] = {}
    for config in apps.get_app_configs():
        path = getattr(config, "tenant_settings", "")
        if not path:
            continue
        group = import_string(path.replace(":", "."))
        if not isinstance(group, SettingGroup):
            raise SettingsInvalidError(f"{path} is not a SettingGroup.")
        for setting in group.settings:
            _check_declaration(setting, config, by_key)
            by_key[setting.key] = setting
        if strays := [one.key for one in group.settings if one.is_secret and one.host_of not in by_key]:
            raise SettingsInvalidError(f"{strays[0]} is secret, and its host_of names no setting.")
        groups.append(group)
    return tuple(groups), by_key


def _check_declaration(setting: Setting, config: AppConfig, taken: Mapping[str, Setting]) -> None:
    is_own = config.label in CORE_APPS or setting.key.startswith(f"{config.label}.")
    if not KEY.fullmatch(setting.key) or not is_own or setting.key in taken:
        raise SettingsInvalidError(f"{config.label} may not name a setting {setting.key!r}.")
    faults = [*Validator(setting.schema, format_checker=FORMATS).iter_errors(setting.default)]
    if faults:
        raise SettingsInvalidError(f"The default of {setting.key} does not match its schema: {faults[0].message}")


@cache
def _validator(key: str) -> Any:
    return Validator(dict(get_setting(key).schema), format_checker=FORMATS)


def settings_of(tenant: Tenant | UUID) -> Mapping[str, Any]:
    """Return every declared setting with the tenant's value or its default; less than a second old."""
    tenant_id = tenant if isinstance(tenant, UUID) else tenant.pk
    return _kept.get(str(tenant_id), lambda: _read_values(tenant_id))


def tenant_setting(tenant: Tenant | UUID, key: str) -> Any:
    """Return one setting of the tenant; raise `SettingUnknownError` for an undeclared key."""
    get_setting(key)
    return settings_of(tenant)[key]


def read_stored(tenant_id: UUID) -> TenantSettings:
    """Return the tenant's current row; an unsaved one of version 0 if it has set nothing."""
    if current_scope() is None:
        with tenant_context(tenant_id):
            return _read(tenant_id)
    return _read(tenant_id)


def effective_values(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the declared settings; a stored value that its schema refuses counts as not set."""
    return {key: _value(setting, stored) for key, setting in all_settings().items()}


def orphaned_keys(stored: Mapping[str, Any]) -> list[str]:
    """Return the stored keys of plug-ins that are not installed; a plug-in that returns finds its values again.

    The values are not shown: which of them are secret is unknown.
    """
    return sorted(key for key in stored if key not in all_settings())


def forget_settings(tenant_id: UUID) -> None:
    """Remove the tenant's settings from the cache; other processes follow within a second."""
    _kept.forget(str(tenant_id))


def _read_values(tenant_id: UUID) -> Mapping[str, Any]:
    """Return the stored values only."""
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
    # A plain secret was not stored by the service.
    return setting.default if setting.is_secret and not is_reference(value) else value


def _has_secret(stored: Mapping[str, Any]) -> bool:
    """Return whether a value is secret, or may be because its key is undeclared."""
    declared = all_settings()
    return any(key not in declared or declared[key].is_secret for key in stored)


_kept = SharedCache("settings", effective_values, is_secret=_has_secret)
