"""API keys of the form `PREFIX.SECRET`.

A key is looked up by its prefix; the hash of its secret is compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Model, Q
from django.db.models.functions import Now

from tenants.access.addresses import read_network
from tenants.access.errors import KeyAddressError, KeyEndedError, KeyExpiredError
from tenants.access.key_count import check_key_count
from tenants.access.permissions import KEY_PERMISSIONS
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import current_actor, query_cross_tenant, tenant_context
from tenants.database.clock import read_clock
from tenants.database.platform_settings import platform_settings
from tenants.database.rows import read_rows, select_list
from tenants.exceptions import FieldInvalidError, ScopeUnknownError
from tenants.models import ApiKey, Plan, Tenant
from tenants.tenancy.bases import clean_name

logger = structlog.stdlib.get_logger("tenants.api_keys")

OVERLAP = timedelta(days=7)
MAX_NETWORKS = 50
_AUDITED_FIELDS = ("name", "prefix", "scopes", "expires_at", "allowed_addresses")
_TOKEN = re.compile(r"(jp[0-9a-f]{10})\.([A-Za-z0-9_-]{43})", re.ASCII)
# Storing every use would make a busy key a hot row.
_TOUCH_INTERVAL = timedelta(seconds=60)
_NO_HASH = "0" * 64
# Models by their aliases in the statement.
_FOUND: Mapping[str, type[Model]] = {"k": ApiKey, "t": Tenant, "p": Plan}


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new API key and its token. The token is shown to the caller once and never stored."""

    key: ApiKey
    token: str


def issue_api_key(
    *,
    tenant: Tenant,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    never_expires: bool = False,
    allowed_addresses: Iterable[str] = (),
) -> IssuedKey:
    """Issue an API key for `tenant` with the permissions of `scopes`.

    Without `expires_at` the key expires after API_KEY_DEFAULT_DAYS; with `never_expires` it is valid until it is
    revoked. `allowed_addresses` are the networks that it is accepted from; empty means from everywhere. Raise
    `ApiKeyLimitError` if the tenant has reached its limit of keys, `ScopeUnknownError` or `FieldInvalidError` for an
    invalid argument.
    """
    with tenant_context(tenant):
        check_key_count(tenant.pk)
        ends_at = None if never_expires else choose_end(expires_at)
        return _issue(tenant, name, scopes, ends_at, allowed_addresses)


def _issue(
    tenant: Tenant, name: str, scopes: Iterable[str], ends_at: datetime | None, allowed_addresses: Iterable[str]
) -> IssuedKey:
    actor = current_actor()
    prefix, secret = f"jp{secrets.token_hex(5)}", secrets.token_urlsafe(32)
    with tenant_context(tenant):
        key = ApiKey.objects.create(
            tenant=tenant,
            name=clean_name(name, max_length=100),
            prefix=prefix,
            secret_hash=_hash(secret),
            scopes=_choose_scopes(scopes),
            allowed_addresses=read_networks(allowed_addresses),
            created_by_id=actor.id if actor.kind == "user" else None,
            expires_at=ends_at,
        )
        after = {name: getattr(key, name) for name in _AUDITED_FIELDS}
        record_audit(action="api_key.issued", target=key, after=after)
    return IssuedKey(key=key, token=f"{prefix}.{secret}")


def revoke_api_key(*, api_key: ApiKey, reason: str = "") -> ApiKey:
    """Revoke a key at once and return it. A key that is already revoked stays unchanged."""
    with tenant_context(api_key.tenant_id):
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
    with tenant_context(api_key.tenant_id):
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
            scopes, ends_at = KEY_PERMISSIONS.intersection(old.scopes), old.expires_at and choose_end(None)
            issued = _issue(old.tenant, old.name, scopes, ends_at, old.allowed_addresses)
        before = old.expires_at
        old.expires_at = min(old.expires_at or now + OVERLAP, now + OVERLAP)
        # No expiry warning: the old key was rotated on purpose.
        old.rotated_at = old.warned_at = now
        old.save(update_fields=["expires_at", "rotated_at", "warned_at"])
        after = {"expires_at": old.expires_at, "prefix": issued.key.prefix}
        record_audit(action="api_key.rotated", target=old, before={"expires_at": before}, after=after, reason=reason)
    return issued


def revoke_keys_of(*, user_id: Any, reason: str) -> int:
    """Revoke the keys that the user has issued for the tenants of the current scope. Return how many were revoked."""
    keys = list(ApiKey.objects.filter(created_by_id=user_id, revoked_at=None))
    for key in keys:
        revoke_api_key(api_key=key, reason=reason)
    return len(keys)


def authenticate_api_key(*, token: str, is_from: Callable[[Iterable[str]], bool] = bool) -> ApiKey | None:
    """Return the API key of `token` with its tenant and plan, or None if the token is malformed, wrong or revoked.

    Raise `KeyExpiredError` if the key has expired. Raise `KeyAddressError` if the key is bound to networks and
    `is_from(networks)` is False. The time of last use is updated, at most once a minute, if the key is accepted. The
    query reads the keys of all tenants, because the tenant is not known before.
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    prefix, secret = match.groups()
    key, is_touch_due, is_expired = _find(prefix)
    # An unknown prefix costs the same comparison as a wrong secret.
    is_right = hmac.compare_digest(_hash(secret), key.secret_hash if key else _NO_HASH)
    if key is None or not is_right:
        return None
    if is_expired:
        raise KeyExpiredError
    if key.allowed_addresses and not is_from(key.allowed_addresses):
        logger.warning("api_key.refused", code=KeyAddressError.code, prefix=prefix, tenant_id=str(key.tenant_id))
        raise KeyAddressError
    if is_touch_due:
        with tenant_context(key.tenant_id):
            ApiKey.objects.filter(_is_touch_due(), pk=key.pk).update(last_used_at=Now())
    return key


def _find(prefix: str) -> tuple[ApiKey | None, bool, bool]:
    """Return the key with its tenant and plan, whether to store its last use, and whether it has expired.

    The key is None if it is unknown or revoked.
    """
    rows = query_cross_tenant(_find_statement(), [_TOUCH_INTERVAL.total_seconds(), prefix])
    if not rows:
        return None, False, False
    (found,) = rows
    key, tenant, plan = read_rows(_FOUND, found)
    assert isinstance(key, ApiKey)
    assert isinstance(tenant, Tenant)
    assert isinstance(plan, Plan)
    tenant.plan = plan
    key.tenant = tenant
    return key, bool(found[-2]), bool(found[-1])


@cache
def _find_statement() -> str:
    return f"""
        SELECT {select_list(_FOUND)}, k.last_used_at IS NULL
            OR k.last_used_at < statement_timestamp() - make_interval(secs => %s),
            coalesce(k.expires_at <= statement_timestamp(), false)
        FROM tenants_apikey k JOIN tenants_tenant t ON t.id = k.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
        WHERE k.prefix = %s AND k.revoked_at IS NULL
    """  # noqa: S608 - names of columns


def _choose_scopes(scopes: Iterable[str]) -> list[str]:
    wanted = set(scopes)
    if strays := wanted - KEY_PERMISSIONS:
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


def _is_touch_due() -> Q:
    return Q(last_used_at=None) | Q(last_used_at__lt=Now() - _TOUCH_INTERVAL)


def _hash(secret: str) -> str:
    # 256 random bits cannot be guessed, so a fast hash is enough.
    return hashlib.sha256(secret.encode()).hexdigest()


def _fault(name: str, text: str, values: Mapping[str, Any]) -> FieldInvalidError:
    refusal = FieldInvalidError(text, values)
    refusal.errors = [{"field": name, "code": refusal.code, "detail": refusal.detail}]
    return refusal
