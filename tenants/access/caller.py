"""The access of a request: its tenant, role and permissions, determined once by the middleware.

The middleware checks the header `Authorization: Api-Key PREFIX.SECRET`. `ApiKeyAuthentication` reports the result to
REST framework.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest
from django.utils.translation import gettext
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

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
from tenants.context import Scope
from tenants.exceptions import DomainError
from tenants.models import ApiKey, Role, Tenant


@dataclass(frozen=True, slots=True)
class Access:
    """The tenant, role and permissions of one request.

    `tenant` is None for platform staff who have chosen none (they see all tenants) and for callers without access.
    Roles from memberships are ignored for a caller with a platform role. `refusal` is the error that explains why an
    authenticated caller has no tenant; views that require a tenant raise it.
    """

    tenant: Tenant | None = None
    role: Role | None = None
    platform_role: PlatformRole | None = None
    api_key: ApiKey | None = None
    refusal: DomainError | None = None

    @property
    def scope(self) -> Scope | None:
        """Return the scope of rows visible to the request: one tenant, or all; None if the caller may see no rows."""
        if self.tenant is not None:
            return Scope(tenant_id=self.tenant.pk)
        return Scope(tenant_id=None) if self.platform_role is not None and self.refusal is None else None

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
        if self.platform_role is not None:
            return PLATFORM_ROLES[self.platform_role]
        if self.tenant is None:
            return NOTHING
        if self.api_key is not None:
            return read_scopes(tuple(self.api_key.scopes))
        return TENANT_ROLES[self.role] if self.role is not None else NOTHING

    @property
    def permissions(self) -> frozenset[Permission]:
        """Return the permissions that apply now: `granted`, but only to read if the caller's tenant is suspended.

        Platform staff keep all their permissions in a suspended tenant.
        """
        if self.platform_role is None and self.tenant is not None and self.tenant.is_suspended:
            return self.granted & READ_ONLY
        return self.granted

    def may(self, permission: Permission) -> bool:
        """Return whether the caller has this permission now."""
        return permission in self.permissions


NO_ACCESS = Access()


def access_of(request: HttpRequest | Request) -> Access:
    """Return the `Access` that the middleware stored on the request, or `NO_ACCESS` on paths that the middleware skips.

    It accepts Django's request and REST framework's, which forwards attribute access to Django's.
    """
    access = getattr(request, "access", NO_ACCESS)
    return access if isinstance(access, Access) else NO_ACCESS


SCHEME = "Api-Key"


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
