"""Service that stores, replaces and deletes secrets.

Each change is one transaction with an audit entry, which does not contain the value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final
from uuid import UUID

import idna
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext

from tenants.audit.service import record_audit
from tenants.context import current_actor, tenant_context
from tenants.encryption.fields import is_sealing
from tenants.encryption.service import NoMasterKeyError
from tenants.models import Tenant, TenantSecret
from tenants.secrets.errors import SecretInvalidError, SecretLimitError, SecretNameTakenError, SecretUseDeniedError
from tenants.secrets.models import MAX_HOST_CHARACTERS
from tenants.secrets.queries import get_secret
from tenants.secrets.references import is_secret_name

MAX_SECRETS: Final = 200
MAX_HOSTS: Final = 20
# A shorter value could not be masked in a response without masking other text.
MIN_VALUE_CHARACTERS: Final = 8
MAX_VALUE_CHARACTERS: Final = 8_000
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


def create_secret(*, tenant: Tenant, name: str, value: str, hosts: Sequence[str], reason: str = "") -> TenantSecret:
    """Store a new secret encrypted, and return it.

    Raise `NoMasterKeyError`, `SecretInvalidError`, `SecretLimitError` or `SecretNameTakenError`.
    """
    require_master_key()
    hosts = check_secret(name=name, value=value, hosts=hosts)
    by = _actor_label()
    with tenant_context(tenant):
        if TenantSecret.objects.count() >= MAX_SECRETS:
            raise SecretLimitError("A tenant may have at most %(limit)s secrets.", {"limit": MAX_SECRETS})
        secret = TenantSecret(tenant=tenant, name=name, hosts=hosts, sealed=value, created_by=by, changed_by=by)
        try:
            with transaction.atomic():
                secret.save(force_insert=True)
        except IntegrityError as error:
            raise SecretNameTakenError("The secret %(name)r already exists.", {"name": name}) from error
        secret = get_secret(secret.pk)
        record_audit(action="secret.created", target=secret, after=_facts(secret), reason=reason)
    return secret


def rotate_secret(*, secret_id: UUID, value: str, hosts: Sequence[str] | None = None, reason: str = "") -> TenantSecret:
    """Replace the value of a secret of the current scope, and return it. Later requests use the new value.

    The hosts can change only together with the value: otherwise a caller could widen them and have the old value sent
    anywhere. Raise `NoMasterKeyError`, `SecretNotFoundError` or `SecretInvalidError`.
    """
    require_master_key()
    with transaction.atomic():
        secret = get_secret(secret_id, is_locked=True)
        checked = check_secret(name=secret.name, value=value, hosts=secret.hosts if hosts is None else hosts)
        before = _facts(secret)
        secret.hosts, secret.sealed, secret.version = checked, value, secret.version + 1
        secret.changed_at, secret.changed_by = Now(), _actor_label()
        secret.save(update_fields=["hosts", "sealed", "version", "changed_at", "changed_by"])
        secret = get_secret(secret_id)
        record_audit(action="secret.rotated", target=secret, before=before, after=_facts(secret), reason=reason)
    return secret


@transaction.atomic
def delete_secret(*, secret: TenantSecret, reason: str = "") -> None:
    """Delete a secret. Jobs that still refer to it fail with `secret_unknown`."""
    record_audit(action="secret.deleted", target=secret, before=_facts(secret), reason=reason)
    secret.delete()


def put_secret(*, tenant: Tenant, name: str, value: str, hosts: Sequence[str], reason: str = "") -> TenantSecret:
    """Store a secret, or replace the value and hosts of the existing one with that name. Return it."""
    with tenant_context(tenant):
        found = TenantSecret.objects.filter(name=name).values_list("pk", flat=True).first()
        if found is None:
            return create_secret(tenant=tenant, name=name, value=value, hosts=hosts, reason=reason)
        return rotate_secret(secret_id=found, value=value, hosts=hosts, reason=reason)


def require_master_key() -> None:
    """Raise `NoMasterKeyError`, with advice on what to do, if values cannot be encrypted."""
    if not is_sealing():
        raise NoMasterKeyError(
            "Secrets need encryption, and ENCRYPTION_MASTER_KEYS is empty: set it for every process "
            "(docs/how-to/encryption.md)."
        )


def require_use_of_secrets() -> None:
    """Raise `SecretUseDeniedError` if the current actor may not save references to secrets."""
    if not current_actor().may_use_secrets:
        raise SecretUseDeniedError


def check_secret(*, name: str, value: str, hosts: Sequence[str]) -> list[str]:
    """Check a secret before it is stored, and return its hosts in their stored form.

    Raise `SecretInvalidError` with a list of faults, which never contain the value.
    """
    faults: list[dict[str, Any]] = []
    if not is_secret_name(name):
        faults.append(
            _fault("name", gettext("Use lower-case letters, digits and underscores, starting with a letter."))
        )
    if not MIN_VALUE_CHARACTERS <= len(value) <= MAX_VALUE_CHARACTERS:
        limits = {"least": MIN_VALUE_CHARACTERS, "most": MAX_VALUE_CHARACTERS}
        faults.append(_fault("value", gettext("It must have %(least)s to %(most)s characters.") % limits))
    elif not (value.isascii() and value.isprintable()) or value != value.strip():
        faults.append(
            _fault("value", gettext("It must have printable ASCII characters without leading or trailing blanks."))
        )
    kept = [_read_host(host) for host in hosts]
    if None in kept or not 1 <= len(kept) <= MAX_HOSTS:
        detail = gettext(
            "Give 1 to %(limit)s hosts without scheme and port: api.example.com, *.example.com or an address."
        ) % {"limit": MAX_HOSTS}
        faults.append(_fault("hosts", detail))
    if faults:
        raise SecretInvalidError(errors=faults)
    return sorted({host for host in kept if host is not None})


def _read_host(text: str) -> str | None:
    """Return a host as outgoing requests write it, or None if it is invalid."""
    host = text.strip().lower().removeprefix("[").removesuffix("]")
    with suppress(ValueError):
        return str(ip_address(host))
    is_wild, host = host.startswith("*."), host.removeprefix("*.")
    try:
        host = host if host.isascii() else idna.encode(host, uts46=True, std3_rules=True).decode()
    except UnicodeError:
        return None
    labels = host.split(".")
    if len(host) > MAX_HOST_CHARACTERS - 2 or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    # `*.com` is too wide; and some parsers read a host that ends in a number as an address.
    if labels[-1].isdigit() or (is_wild and len(labels) < 2):
        return None
    return f"*.{host}" if is_wild else host


def _actor_label() -> str:
    actor = current_actor()
    return (actor.label or actor.id or actor.kind)[:200]


def _facts(secret: TenantSecret) -> dict[str, Any]:
    return {"name": secret.name, "hosts": list(secret.hosts), "version": secret.version}


def _fault(field: str, detail: str) -> dict[str, Any]:
    return {"field": field, "code": SecretInvalidError.code, "detail": detail}
