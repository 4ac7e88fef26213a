"""Secret settings: their values are stored as `TenantSecret` rows, and the settings hold references to them.

A setting's secret is bound to the host of the URL in another setting. When that host changes, the secret is deleted: a
value given for one host is never sent to another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext

from tenants.exceptions import SettingsRefusedError
from tenants.models import Tenant, TenantSecret
from tenants.secrets.errors import SecretInvalidError
from tenants.secrets.references import is_reference
from tenants.secrets.service import delete_secret, put_secret, require_use_of_secrets
from tenants.settings.schema import Setting, all_settings


def move_secrets(tenant: Tenant, before: Mapping[str, Any], stored: Mapping[str, Any], given: Collection[str]) -> Any:
    """Store the secret values among the changed settings as secrets, and return the settings with references instead.

    Secrets that are no longer referred to, or whose host has changed, are deleted. `given` are the keys that the change
    sets. Raise `SettingsRefusedError`, with the setting as its field, if a secret cannot be stored.
    """
    kept = dict(stored)
    for setting in all_settings().values():
        if not setting.is_secret or (setting.key not in stored and setting.key not in before):
            continue
        value = stored.get(setting.key, "")
        if setting.key in given and is_reference(value):
            require_use_of_secrets()
        elif setting.key in given and value:
            kept[setting.key] = _store(tenant, setting, value, _host_of(setting, stored))
        elif value == setting.own_reference and _host_of(setting, stored) != _host_of(setting, before):
            del kept[setting.key]
        if before.get(setting.key) == setting.own_reference and kept.get(setting.key) != setting.own_reference:
            _delete(setting)
    return kept


def _store(tenant: Tenant, setting: Setting, value: str, host: str) -> str:
    if not host:
        raise _refusal(
            setting.key, gettext("Set %(url)s first: the secret is bound to its host.") % {"url": setting.host_of}
        )
    try:
        put_secret(tenant=tenant, name=setting.secret_name, value=value, hosts=[host])
    except SecretInvalidError as refusal:
        raise _refusal(setting.key, refusal.errors[0]["detail"]) from refusal
    return setting.own_reference


def _delete(setting: Setting) -> None:
    secret = TenantSecret.objects.filter(name=setting.secret_name).first()
    if secret is not None:
        delete_secret(secret=secret)


def _host_of(setting: Setting, stored: Mapping[str, Any]) -> str:
    try:
        return urlsplit(str(stored.get(setting.host_of) or all_settings()[setting.host_of].default)).hostname or ""
    except ValueError:
        return ""


def _refusal(key: str, detail: str) -> SettingsRefusedError:
    fault = {"field": key, "code": SettingsRefusedError.code, "detail": detail}
    return SettingsRefusedError(f"{key}: {detail}", errors=[fault])
