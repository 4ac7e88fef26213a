"""Declarations of the settings that a tenant has, and functions that read their values.

An app names its group of settings in its AppConfig: `tenant_settings = "package.module:SETTINGS"`. Apps other than
`tenants` and `scheduling` begin their keys with their own label, so that no two plug-ins collide.
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
from tenants.database.prepared import fetch_one
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
    """Raised if an app declares an invalid group, or a key that is taken or lacks the app's label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The declaration of one setting. `schema` is JSON Schema 2020-12, and the default must match it.

    `editor` says who may change it: callers with `tenant.manage`, or only the platform. `plan_limit` is the key of a
    plan's limit that the value may not exceed. The value of a secret setting is stored as a `TenantSecret`, bound to
    the host of the URL in the setting `host_of`; the setting itself then holds a reference to it. `check` returns why a
    new value is refused, or an empty text; a value that is stored already is not checked again.
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
    check: Callable[[Any], str] = field(default=lambda value: "", repr=False, compare=False)

    @property
    def secret_name(self) -> str:
        """Return the name of the `TenantSecret` that stores the setting's value."""
        return self.key.replace(".", "_")

    @property
    def own_reference(self) -> str:
        """Return the reference to that secret, which the setting holds in place of its value."""
        return str(SecretReference(self.secret_name))

    def faults(self, value: Any) -> list[str]:
        """Return what is wrong with a value, in the active language; empty if the value is valid."""
        if self.is_secret and is_reference(value):
            return []
        return [describe_fault(fault) for fault in _validator(self.key).iter_errors(value)]

    def shown(self, value: Any) -> Any:
        """Return the value for display and for the audit log: for a secret its reference or a mask."""
        return MASK if self.is_secret and value not in (None, "") and not is_reference(value) else value


@dataclass(frozen=True, slots=True)
class SettingGroup:
    """The settings that one app declares, under one heading.

    ``check(values)`` returns messages by key, for rules that involve several settings.
    """

    title: str
    settings: tuple[Setting, ...]
    check: GroupCheck = field(default=lambda values: {})


def setting_groups() -> list[SettingGroup]:
    """Return the declared groups of settings, in the order of INSTALLED_APPS."""
    return list(_declared()[0])


def all_settings() -> Mapping[str, Setting]:
    """Return all declared settings by key, in the order of the groups."""
    return _declared()[1]


def get_setting(key: str) -> Setting:
    """Return the setting with that key; raise `SettingUnknownError` if no installed app declares it."""
    setting = all_settings().get(key)
    if setting is None:
        raise SettingUnknownError("There is no setting %(key)r.", {"key": key})
    return setting


def reset() -> None:
    """Clear the caches of declarations, for tests that add a group."""
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
    """Return the values of all declared settings for a tenant, by key: its own or the defaults.

    The values come from a cache and are less than a second old.
    """
    tenant_id = tenant if isinstance(tenant, UUID) else tenant.pk
    return _kept.get(str(tenant_id), lambda: _read_values(tenant_id))


def tenant_setting(tenant: Tenant | UUID, key: str) -> Any:
    """Return the tenant's value of one setting; raise `SettingUnknownError` if no installed app declares the key."""
    get_setting(key)
    return settings_of(tenant)[key]


def read_stored(tenant_id: UUID) -> TenantSettings:
    """Return the row of the tenant's settings; an unsaved one with version 0 if the tenant has none."""
    if current_scope() is None:
        with tenant_context(tenant_id):
            return _read(tenant_id)
    return _read(tenant_id)


def effective_values(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values of all declared settings, given the stored ones.

    A stored value that no longer matches its schema is ignored in favour of the default.
    """
    return {key: _value(setting, stored) for key, setting in all_settings().items()}


def orphaned_keys(stored: Mapping[str, Any]) -> list[str]:
    """Return the stored keys that no installed app declares. If the plug-in is installed again, its values apply again.

    Only the keys are returned, because it is not known which of the values are secret.
    """
    return sorted(key for key in stored if key not in all_settings())


def forget_settings(tenant_id: UUID) -> None:
    """Remove the tenant's settings from the cache; in other processes they expire within a second."""
    _kept.forget(str(tenant_id))


def _read_values(tenant_id: UUID) -> Mapping[str, Any]:
    """Return the stored values only."""
    scope = nullcontext() if current_scope() is not None else tenant_context(tenant_id)
    with scope:
        return fetch_one(_STORED, {"tenant_id": tenant_id}, scalar_row) or {}


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
