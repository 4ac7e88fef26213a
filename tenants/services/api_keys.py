"""Keys: `PREFIX.SECRET`. The prefix finds the row, the secret is compared by its hash, in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from django.db.models import Model, Q
from django.db.models.functions import Now

from tenants.context import look_through_door, tenant_context
from tenants.exceptions import ScopeUnknownError
from tenants.joined_rows import read_rows, select_list
from tenants.models import ApiKey, Plan, Tenant
from tenants.names import clean_name
from tenants.permissions import DEFAULT_KEY_SCOPES, KEY_PERMISSIONS
from tenants.services.audit import record_audit
from tenants.services.key_count import check_key_count

_TOKEN = re.compile(r"(jp[0-9a-f]{10})\.([A-Za-z0-9_-]{43})", re.ASCII)
# Writing the time of every use would make a hot row of a busy key.
_TOUCH_INTERVAL = timedelta(seconds=60)
_NO_HASH = "0" * 64
# By their names in the statement.
_FOUND: Mapping[str, type[Model]] = {"k": ApiKey, "t": Tenant, "p": Plan}


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key with its token, which is shown once and kept nowhere."""

    key: ApiKey
    token: str


def issue_api_key(
    *,
    tenant: Tenant,
    name: str,
    scopes: Iterable[str] | None = None,
    expires_at: datetime | None = None,
) -> IssuedKey:
    """Issue a key by which a program acts for `tenant`, with the rights that `scopes` name (None: a developer's)."""
    prefix, secret = f"jp{secrets.token_hex(5)}", secrets.token_urlsafe(32)
    with tenant_context(tenant):
        check_key_count(tenant.pk)
        key = ApiKey.objects.create(
            tenant=tenant,
            name=clean_name(name, max_length=100),
            prefix=prefix,
            secret_hash=_hash(secret),
            scopes=_choose_scopes(scopes),
            expires_at=expires_at,
        )
        after = {"name": key.name, "prefix": prefix, "scopes": key.scopes, "expires_at": expires_at}
        record_audit(action="api_key.issued", target=key, after=after)
    return IssuedKey(key=key, token=f"{prefix}.{secret}")


def revoke_api_key(*, api_key: ApiKey, reason: str = "") -> ApiKey:
    """Make a key useless from now on; revoking it again changes nothing."""
    with tenant_context(api_key.tenant_id):
        revoked = ApiKey.objects.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=Now())
        api_key.refresh_from_db()
        if revoked:
            record_audit(
                action="api_key.revoked", target=api_key, after={"revoked_at": api_key.revoked_at}, reason=reason
            )
    return api_key


def authenticate_api_key(*, token: str) -> ApiKey | None:
    """The valid key of `token` with its tenant and plan, or None. By the door: the tenant is not known before."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    prefix, secret = match.groups()
    key, is_touch_due = _find_valid(prefix)
    # An unknown prefix costs the same comparison as a wrong secret.
    is_right = hmac.compare_digest(_hash(secret), key.secret_hash if key else _NO_HASH)
    if key is None or not is_right:
        return None
    if is_touch_due:
        with tenant_context(key.tenant_id):
            ApiKey.objects.filter(_is_touch_due(), pk=key.pk).update(last_used_at=Now())
    return key


def _find_valid(prefix: str) -> tuple[ApiKey | None, bool]:
    """The key with its tenant and plan, unless it is revoked or expired, and whether its use is to be noted."""
    rows = look_through_door(_find_statement(), [_TOUCH_INTERVAL.total_seconds(), prefix])
    if not rows:
        return None, False
    (found,) = rows
    key, tenant, plan = read_rows(_FOUND, found)
    assert isinstance(key, ApiKey)
    assert isinstance(tenant, Tenant)
    assert isinstance(plan, Plan)
    tenant.plan = plan
    key.tenant = tenant
    return key, bool(found[-1])


@cache
def _find_statement() -> str:
    return f"""
        SELECT {select_list(_FOUND)}, k.last_used_at IS NULL
            OR k.last_used_at < statement_timestamp() - make_interval(secs => %s)
        FROM tenants_apikey k JOIN tenants_tenant t ON t.id = k.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
        WHERE k.prefix = %s AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > statement_timestamp())
    """  # noqa: S608 - names of columns


def _choose_scopes(scopes: Iterable[str] | None) -> list[str]:
    wanted = set(DEFAULT_KEY_SCOPES if scopes is None else scopes)
    if strays := wanted - KEY_PERMISSIONS:
        raise ScopeUnknownError("A key cannot have the scope %(names)s.", {"names": ", ".join(sorted(strays))})
    if not wanted:
        raise ScopeUnknownError("A key needs at least one scope.")
    return sorted(str(scope) for scope in wanted)


def _is_touch_due() -> Q:
    return Q(last_used_at=None) | Q(last_used_at__lt=Now() - _TOUCH_INTERVAL)


def _hash(secret: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()
