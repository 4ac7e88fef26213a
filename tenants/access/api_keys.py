"""API keys of tenants and of the platform: issued, rotated and revoked; `caller` authenticates requests by them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from tenants.access.addresses import read_network
from tenants.access.errors import KeyEndedError
from tenants.access.key_count import check_key_count
from tenants.access.permissions import Permission, key_permissions
from tenants.access.roles import require_held, require_role
from tenants.approvals.service import require_approval
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import Scope, current_actor, scope_context
from tenants.database.clock import read_clock
from tenants.database.platform_settings import platform_settings
from tenants.exceptions import FieldInvalidError, ScopeUnknownError
from tenants.models import ApiKey, Tenant
from tenants.tenancy.bases import clean_name

OVERLAP = timedelta(days=7)
MAX_NETWORKS = 50
# Scopes that read what jobs have computed.
REVEALING = frozenset({Permission.JOBS_RESULTS, Permission.JOBS_REVEAL})
_AUDITED_FIELDS = ("name", "prefix", "scopes", "role", "expires_at", "allowed_addresses")


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new API key and its token. The token is shown to the caller once and never stored."""

    key: ApiKey
    token: str


def issue_api_key(
    *,
    tenant: Tenant | None,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    never_expires: bool = False,
    allowed_addresses: Iterable[str] = (),
    role: str = "",
) -> IssuedKey:
    """Issue an API key for `tenant`, or for the platform if it is None, with the permissions of `scopes`.

    Without `expires_at` the key expires after API_KEY_DEFAULT_DAYS; with `never_expires` it is valid until it is
    revoked. `allowed_addresses` are the networks that it is accepted from; empty means from everywhere. `role` names a
    role that bounds the scopes. Raise `ApiKeyLimitError` if the tenant has reached its limit of keys,
    `ScopeUnknownError` or `FieldInvalidError` for an invalid argument, `RightNotHeldError` for scopes that the caller
    does not have, `ApprovalRequiredError` for a key that reads results.
    """
    with scope_of(tenant.pk if tenant else None):
        if tenant is not None:
            check_key_count(tenant.pk)
        asked, networks = sorted(set(scopes)), read_networks(allowed_addresses)
        if REVEALING & set(asked):
            ends = "never" if never_expires else expires_at
            terms = {"name": name, "scopes": asked, "role": role, "expires_at": ends, "allowed_addresses": networks}
            _require_second_person(tenant, terms)
        ends_at = None if never_expires else choose_end(expires_at)
        return _issue(tenant, name, asked, ends_at, networks, role)


def _require_second_person(tenant: Tenant | None, asked: Mapping[str, Any]) -> None:
    """Raise `ApprovalRequiredError` if a second person must approve the key, which is then issued by the next call."""
    owner = tenant.slug if tenant else None
    # By the slug: a tenant may have been created by the same call.
    subject = {"tenant": owner, **asked}
    preview = f"{owner or '–'}, {asked['name']}: {', '.join(asked['scopes'])}"
    require_approval("api_key", subject, preview=preview, tenant_id=tenant.pk if tenant else None, subject=subject)


def scope_of(tenant_id: UUID | None) -> AbstractContextManager[None]:
    """Return the context of the keys of a tenant, or of the platform: only the scope of all tenants has those."""
    return scope_context(Scope(tenant_id))


def _issue(
    tenant: Tenant | None,
    name: str,
    scopes: Iterable[str],
    ends_at: datetime | None,
    allowed_addresses: Iterable[str],
    role: str,
) -> IssuedKey:
    actor = current_actor()
    prefix, secret = f"jp{secrets.token_hex(5)}", secrets.token_urlsafe(32)
    chosen = _choose_scopes(scopes, key_permissions(is_of_platform=tenant is None))
    require_held(chosen)
    with scope_of(tenant.pk if tenant else None):
        key = ApiKey.objects.create(
            tenant=tenant,
            name=clean_name(name, max_length=100),
            prefix=prefix,
            secret_hash=hash_secret(secret),
            scopes=chosen,
            role=require_role(tenant.pk, role) if tenant is not None and role else "",
            allowed_addresses=read_networks(allowed_addresses),
            created_by_id=actor.id if actor.kind == "user" else None,
            expires_at=ends_at,
        )
        after = {name: getattr(key, name) for name in _AUDITED_FIELDS}
        record_audit(action="api_key.issued", target=key, after=after)
    return IssuedKey(key=key, token=f"{prefix}.{secret}")


def revoke_api_key(*, api_key: ApiKey, reason: str = "") -> ApiKey:
    """Revoke a key at once and return it. A key that is already revoked stays unchanged."""
    with scope_of(api_key.tenant_id):
        revoked = ApiKey.objects.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=Now())
        api_key.refresh_from_db()
        if revoked:
            record_audit(
                action="api_key.revoked", target=api_key, after={"revoked_at": api_key.revoked_at}, reason=reason
            )
    return api_key


@transaction.atomic
def rotate_api_key(*, api_key: ApiKey, reason: str = "") -> IssuedKey:
    """Issue a new key in place of `api_key`, which then expires after OVERLAP or at its own earlier end.

    Raise `KeyEndedError` if `api_key` is expired, revoked or already rotated.
    """
    with scope_of(api_key.tenant_id):
        now = read_clock()
        old = (
            ApiKey.objects.select_related("tenant__plan")
            .select_for_update(no_key=True, of=("self",))
            .get(pk=api_key.pk)
        )
        if not old.is_valid_at(now):
            raise KeyEndedError
        if old.rotated_at is not None:
            raise KeyEndedError("The API key was already rotated; rotate the key that replaced it.")
        with suppress_nested_entries():
            # Not checked against the limit: the new key replaces one that is no longer counted.
            scopes = key_permissions(is_of_platform=old.tenant_id is None).intersection(old.scopes)
            ends_at = old.expires_at and choose_end(None)
            issued = _issue(old.tenant, old.name, scopes, ends_at, old.allowed_addresses, old.role)
        before = old.expires_at
        old.expires_at = min(old.expires_at or now + OVERLAP, now + OVERLAP)
        # No expiry warning: the old key was rotated on purpose.
        old.rotated_at = old.warned_at = now
        old.save(update_fields=["expires_at", "rotated_at", "warned_at"])
        after = {"expires_at": old.expires_at, "prefix": issued.key.prefix}
        record_audit(action="api_key.rotated", target=old, before={"expires_at": before}, after=after, reason=reason)
    return issued


def revoke_keys_of(*, user_id: Any, reason: str, only_of_platform: bool = False) -> int:
    """Revoke the keys of the current scope that the user has issued, or only the platform's. Return their number."""
    keys = ApiKey.objects.filter(created_by_id=user_id, revoked_at=None)
    found = list(keys.filter(tenant=None) if only_of_platform else keys)
    for key in found:
        revoke_api_key(api_key=key, reason=reason)
    return len(found)


def _choose_scopes(scopes: Iterable[str], allowed: frozenset[Permission]) -> list[str]:
    wanted = set(scopes)
    if strays := wanted - allowed:
        raise ScopeUnknownError("A key cannot have the scope %(names)s.", {"names": ", ".join(sorted(strays))})
    if not wanted:
        raise ScopeUnknownError("A key needs at least one scope.")
    return sorted(str(scope) for scope in wanted)


def choose_end(expires_at: datetime | None) -> datetime:
    """Return the expiry time of a new key: `expires_at`, or by default API_KEY_DEFAULT_DAYS from now.

    Raise `FieldInvalidError` if the time is past or more than API_KEY_MAX_DAYS ahead.
    """
    now = read_clock()
    if expires_at is None:
        return now + timedelta(days=platform_settings.API_KEY_DEFAULT_DAYS)
    most = platform_settings.API_KEY_MAX_DAYS
    if not now < expires_at <= now + timedelta(days=most):
        raise _fault("expires_at", "The time must be in the future and at most %(days)s days ahead.", {"days": most})
    return expires_at


def read_networks(texts: Iterable[str]) -> list[str]:
    """Return the networks in CIDR notation, sorted and without duplicates.

    Raise `FieldInvalidError` if one is invalid or if there are more than MAX_NETWORKS.
    """
    given = list(texts)
    if len(given) > MAX_NETWORKS:
        raise _fault("allowed_addresses", "At most %(limit)s networks are allowed.", {"limit": MAX_NETWORKS})
    try:
        return sorted({read_network(text) for text in given})
    except ValueError as error:
        raise _fault("allowed_addresses", "%(error)s", {"error": error}) from error


def _fault(name: str, text: str, values: Mapping[str, Any]) -> FieldInvalidError:
    refusal = FieldInvalidError(text, values)
    refusal.errors = [{"field": name, "code": refusal.code, "detail": refusal.detail}]
    return refusal


def hash_secret(secret: str) -> str:
    """Return the stored hash of a key's secret."""
    # 256 random bits cannot be guessed, so a fast hash is enough.
    return hashlib.sha256(secret.encode()).hexdigest()
