"""Service that changes a tenant's settings, as a whole: values are validated together, versioned and audited.

The audit entry contains references in place of secrets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.exceptions import (
    SettingForbiddenError,
    SettingsRefusedError,
    SettingsStaleError,
    SettingUnknownError,
)
from tenants.models import PlanLimit, Tenant, TenantSettings
from tenants.secrets.references import has_references
from tenants.secrets.service import require_use_of_secrets
from tenants.settings.schema import MASK, Setting, all_settings, effective_values, forget_settings, setting_groups
from tenants.settings.secrets import move_secrets


def change_settings(
    *,
    tenant: Tenant,
    values: Mapping[str, Any],
    reset: Collection[str] = (),
    version: int | None = None,
    by_platform: bool = False,
    reason: str = "",
) -> TenantSettings:
    """Set `values` and reset the settings named in `reset` to their defaults. Return the row of settings.

    Either all changes are stored or none; nothing is written if nothing changes. A secret value is stored as a secret,
    which is deleted when the host that it is bound to changes. Raise `SettingsStaleError` if the settings are not at
    `version`, `SettingUnknownError`, `SettingForbiddenError` or `SettingsRefusedError` if a change is refused.
    """
    with tenant_context(tenant):
        row = _lock(tenant)
        if version is not None and version != row.version:
            raise SettingsStaleError(
                "The settings are at version %(current)s, not %(version)s.",
                {"current": row.version, "version": version},
            )
        changed = _changed(row.stored, values, reset)
        _refuse_unknown([*values, *(key for key in reset if key not in row.stored)])
        if not by_platform:
            _refuse_platforms_own(changed)
        stored = {key: value for key, value in {**row.stored, **changed}.items() if key not in reset}
        given = {key: values[key] for key in values if key not in reset}
        _refuse_invalid(tenant, given, [key for key in given if key in changed], stored)
        if not changed:
            return row
        _check_references(changed)
        stored = move_secrets(tenant, row.stored, stored, list(given))
        changed |= {key: None for key in row.stored if key not in stored}
        before = {key: _shown(key, row.stored.get(key)) for key in changed}
        row.stored, row.version = stored, row.version + 1
        row.save(update_fields=["stored", "version", "updated_at"])
        after = {key: _shown(key, stored.get(key)) for key in changed}
        record_audit(action="settings.changed", target=tenant, before=before, after=after, reason=reason)
        transaction.on_commit(lambda: forget_settings(tenant.pk))
    return row


def _lock(tenant: Tenant) -> TenantSettings:
    TenantSettings.objects.bulk_create([TenantSettings(tenant=tenant)], ignore_conflicts=True)
    row: TenantSettings = TenantSettings.objects.select_for_update(no_key=True).get(tenant_id=tenant.pk)
    return row


def _changed(stored: Mapping[str, Any], values: Mapping[str, Any], reset: Collection[str]) -> dict[str, Any]:
    """Return the keys whose stored value changes, with their new values; None for a reset one."""
    missing = object()
    changed = {key: value for key, value in values.items() if not _is_same(stored.get(key, missing), value)}
    return changed | {key: None for key in reset if key in stored}


def _is_same(one: Any, other: Any) -> bool:
    # To Python 1, 1.0 and True are equal; to a schema they are not.
    return type(one) is type(other) and one == other


def _refuse_unknown(keys: Collection[str]) -> None:
    faults = [
        _fault(key, "setting_unknown", gettext("There is no such setting."))
        for key in keys
        if key not in all_settings()
    ]
    if faults:
        raise SettingUnknownError("There is no setting %(name)r.", {"name": faults[0]["field"]}, errors=faults)


def _refuse_platforms_own(changed: Mapping[str, Any]) -> None:
    declared = all_settings()
    own = [key for key in changed if key in declared and declared[key].editor == "platform"]
    if own:
        faults = [_fault(key, "setting_forbidden", gettext(SettingForbiddenError.title)) for key in own]
        raise SettingForbiddenError("Only the platform can change %(name)s.", {"name": own[0]}, errors=faults)


def _refuse_invalid(
    tenant: Tenant, given: Mapping[str, Any], changed: Collection[str], stored: Mapping[str, Any]
) -> None:
    declared = all_settings()
    faults = [
        _fault(
            key,
            "setting_invalid",
            detail if not declared[key].is_secret else gettext("The value does not match the schema."),
        )
        for key, value in given.items()
        for detail in declared[key].faults(value)
    ]
    if not faults:
        refusals = {key: declared[key].check(given[key]) for key in changed}
        faults = [_fault(key, "setting_invalid", detail) for key, detail in refusals.items() if detail]
    if not faults:
        faults = [*_over_plan(tenant, [declared[key] for key in given], given)]
    if not faults:
        values = effective_values(stored)
        faults = [
            _fault(key, "setting_invalid", detail)
            for group in setting_groups()
            for key, detail in group.check(values).items()
        ]
    if faults:
        raise SettingsRefusedError(f"{faults[0]['field']}: {faults[0]['detail']}", errors=faults)


def _check_references(changed: Mapping[str, Any]) -> None:
    """Raise `SecretUseDeniedError` if a setting that is no secret itself refers to one, which the actor may not use."""
    declared = all_settings()
    if any(has_references(value) for key, value in changed.items() if key in declared and not declared[key].is_secret):
        require_use_of_secrets()


def _over_plan(tenant: Tenant, settings: Collection[Setting], given: Mapping[str, Any]) -> list[dict[str, str]]:
    names = {setting.plan_limit for setting in settings if setting.plan_limit}
    if not names:
        return []
    limits = dict(PlanLimit.objects.filter(plan_id=tenant.plan_id, key__in=names).values_list("key", "value"))
    return [
        _fault(
            setting.key,
            "setting_over_plan",
            gettext("The plan allows at most %(limit)s.") % {"limit": limits[setting.plan_limit]},
        )
        for setting in settings
        if setting.plan_limit in limits and (given[setting.key] or 0) > limits[setting.plan_limit]
    ]


def _fault(key: str, code: str, detail: str) -> dict[str, str]:
    return {"field": key, "code": code, "detail": detail}


def _shown(key: str, value: Any) -> Any:
    setting = all_settings().get(key)
    # Whether an orphaned key is secret is unknown.
    return MASK if setting is None else setting.shown(value)
