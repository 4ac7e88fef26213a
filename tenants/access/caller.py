"""The access of a request: its tenant, role and permissions, determined once by the middleware.

`Authorization: Api-Key PREFIX.SECRET`: a key is found by its prefix, and its secret's hash compared in constant time,
by the middleware; `ApiKeyAuthentication` passes the outcome to REST framework.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, cached_property
from typing import Any
from uuid import UUID

import structlog
from django.db.models import Model, Q
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tenants.access.api_keys import hash_secret
from tenants.access.errors import KeyAddressError, KeyExpiredError
from tenants.access.lockouts import count_wrong_key
from tenants.access.permissions import (
    NOTHING,
    PLATFORM_ROLES,
    READ_ONLY,
    TENANT_ROLES,
    Permission,
    PlatformRole,
    read_scopes,
)
from tenants.access.roles import find_custom_role, rights_of_custom
from tenants.context import Scope, query_cross_tenant, scope_context
from tenants.database.platform_settings import platform_settings
from tenants.database.rows import read_rows, select_list
from tenants.exceptions import DomainError
from tenants.models import ApiKey, Membership, Plan, Role, Tenant, TenantRole, TenantStatus
from tenants.narrowing import Narrowing

logger = structlog.stdlib.get_logger("tenants.api_keys")


@dataclass(frozen=True)
class Access:
    """The tenant, role and permissions of one request.

    `tenant` is None for platform staff who have chosen none (they see all tenants) and for callers without access.
    Roles from memberships are ignored for a caller with a platform role. `custom` is the tenant's own role of that
    name, if `role` is none of the shipped ones. `refusal` is the error that explains why an authenticated caller has no
    tenant; views that require a tenant raise it. A key of the platform has the platform role, which its scopes narrow.
    """

    tenant: Tenant | None = None
    role: str | None = None
    custom: TenantRole | None = None
    platform_role: PlatformRole | None = None
    api_key: ApiKey | None = None
    refusal: DomainError | None = None
    # What the session may do only after a fresh second factor.
    withheld: frozenset[Permission] = NOTHING
    # What the tenant of a member has set, by key.
    stored_settings: Mapping[str, Any] = field(default_factory=dict, compare=False)
    # A session of platform staff in the console's view of a tenant.
    is_viewing: bool = False

    @property
    def scope(self) -> Scope | None:
        """Return the scope of rows visible to the request: one tenant, or all; None if the caller may see no rows."""
        if self.tenant is not None:
            return Scope(self.tenant.pk, self.narrowing)
        return Scope(tenant_id=None) if self.platform_role is not None and self.refusal is None else None

    @property
    def narrowing(self) -> Narrowing | None:
        """Return what the caller's role is narrowed to; None if it is not."""
        return None if self.custom is None else self.custom.narrowing

    @property
    def own_tenant_id(self) -> UUID | None:
        """Return the id of the caller's tenant; None for platform staff and for callers without a tenant."""
        return self.tenant.pk if self.tenant is not None and self.platform_role is None else None

    @property
    def sees_all_tenants(self) -> bool:
        """Return whether the request sees the rows of all tenants, so that lists must show each row's tenant."""
        return self.scope is not None and self.tenant is None

    @property
    def granted(self) -> frozenset[Permission]:
        """Return the permissions of the caller's role or API key, also while the tenant is suspended."""
        if self.refusal is not None:
            return NOTHING
        if self.api_key is not None:
            scopes = read_scopes(tuple(self.api_key.scopes), is_of_platform=self.api_key.tenant_id is None)
            return scopes & self._rights_of_role if self.api_key.role else scopes
        if self.platform_role is not None:
            held = PLATFORM_ROLES[self.platform_role]
            return held & TENANT_ROLES[Role.OWNER] if self.is_viewing else held
        return NOTHING if self.tenant is None else self._rights_of_role

    @property
    def _rights_of_role(self) -> frozenset[Permission]:
        return TENANT_ROLES.get(self.role or "") or rights_of_custom(self.custom)

    @cached_property
    def permissions(self) -> frozenset[Permission]:
        """Return the permissions at the first use; members and keys of a suspended tenant may only read."""
        if self.platform_role is None and self.tenant is not None and self.tenant.status == TenantStatus.SUSPENDED:
            return (self.granted & READ_ONLY) - self.withheld
        return self.granted - self.withheld

    def may(self, permission: Permission) -> bool:
        """Return whether the caller has this permission now."""
        return permission in self.permissions


NO_ACCESS = Access()


def access_by_key(key: ApiKey | None, tenant: Tenant | None = None, refusal: DomainError | None = None) -> Access:
    """Return the access of a valid key: to its own tenant, or as platform staff to all tenants or to ``tenant``."""
    if key is None:
        return NO_ACCESS
    if key.tenant_id is not None:
        custom = find_custom_role(key.tenant_id, key.role)
        return Access(None if refusal else key.tenant, key.role or None, custom, api_key=key, refusal=refusal)
    return Access(platform_role=PlatformRole.ADMIN, tenant=tenant, api_key=key, refusal=refusal)


def access_of_member(membership: Membership) -> Access:
    """Return the access of a membership that `find_user_roles` has read, with its role's rights as stored now."""
    stored = getattr(membership, "stored_settings", None) or {}
    custom = find_custom_role(membership.tenant_id, membership.role)
    return Access(membership.tenant, membership.role, custom, stored_settings=stored)


def access_of(request: HttpRequest | Request) -> Access:
    """Return the `Access` that the middleware stored on the request, or `NO_ACCESS` on paths that the middleware skips.

    It accepts Django's request and REST framework's, which forwards attribute access to Django's.
    """
    access = getattr(request, "access", NO_ACCESS)
    return access if isinstance(access, Access) else NO_ACCESS


SCHEME = "Api-Key"
_TOKEN = re.compile(r"(jp[0-9a-f]{10})\.([A-Za-z0-9_-]{43})", re.ASCII)
# Storing every use would make a busy key a hot row.
_TOUCH_INTERVAL = timedelta(seconds=60)
_NO_HASH = "0" * 64
# Models by their aliases in the statement.
_FOUND: Mapping[str, type[Model]] = {"k": ApiKey, "t": Tenant, "p": Plan}


@dataclass(frozen=True, slots=True)
class ApiKeyHolder:
    """The `request.user` of a request that is authenticated by an API key. It represents no user account."""

    key: ApiKey
    is_authenticated: bool = True
    is_anonymous: bool = False
    is_active: bool = True
    is_staff: bool = False
    is_superuser: bool = False

    @property
    def pk(self) -> str:
        return str(self.key.pk)

    def __str__(self) -> str:
        return str(self.key)


class ApiKeyAuthentication(BaseAuthentication):
    """REST framework authentication by API key.

    An unknown, wrong or revoked key is answered with 401; an expired key with 401 and the code `key_expired`; a key
    used from an address that is not allowed with 403.
    """

    def authenticate(self, request: Request) -> tuple[ApiKeyHolder, ApiKey] | None:
        if not request.headers.get("Authorization", "").lower().startswith(SCHEME.lower() + " "):
            return None
        access = access_of(request)
        key = access.api_key
        if isinstance(access.refusal, KeyExpiredError):
            raise KeyExpiredError(headers={"WWW-Authenticate": SCHEME})
        if isinstance(access.refusal, KeyAddressError):
            raise access.refusal
        if key is None:
            count_wrong_key(request)
            raise AuthenticationFailed(gettext("The API key is not valid."))
        return ApiKeyHolder(key), key

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


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
    is_right = hmac.compare_digest(hash_secret(secret), key.secret_hash if key else _NO_HASH)
    if key is None or not is_right:
        return None
    if is_expired:
        raise KeyExpiredError
    if key.allowed_addresses and not is_from(key.allowed_addresses):
        logger.warning("api_key.refused", code=KeyAddressError.code, prefix=prefix, tenant_id=str(key.tenant_id))
        raise KeyAddressError
    if is_touch_due and platform_settings.SITE_ROLE == "active":
        with scope_context(Scope(key.tenant_id)):
            ApiKey.objects.filter(_is_touch_due(), pk=key.pk).update(last_used_at=Now())
    return key


def _find(prefix: str) -> tuple[ApiKey | None, bool, bool]:
    """Return the key with its tenant and plan, whether to store its last use, and whether it has expired.

    The key is None if it is unknown or revoked. A key of the platform has no tenant.
    """
    rows = query_cross_tenant(_find_statement(), [_TOUCH_INTERVAL.total_seconds(), prefix])
    if not rows:
        return None, False, False
    (found,) = rows
    key, tenant, plan = read_rows(_FOUND, found)
    assert isinstance(key, ApiKey)
    if key.tenant_id is None:
        return key, bool(found[-2]), bool(found[-1])
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
        FROM tenants_apikey k
        LEFT JOIN tenants_tenant t ON t.id = k.tenant_id LEFT JOIN tenants_plan p ON p.id = t.plan_id
        WHERE k.prefix = %s AND k.revoked_at IS NULL
    """  # noqa: S608 - names of columns


def _is_touch_due() -> Q:
    return Q(last_used_at=None) | Q(last_used_at__lt=Now() - _TOUCH_INTERVAL)
