"""What a request may see and do: found once by the middleware, read by API and console.

`Authorization: Api-Key PREFIX.SECRET`: the middleware has compared it; `ApiKeyAuthentication` tells REST framework the
outcome.
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
from tenants.models import ApiKey, Role, Tenant, TenantStatus


@dataclass(frozen=True, slots=True)
class Access:
    """The tenant, role and permissions of a request.

    `tenant` is None for platform staff who chose none (they see all tenants) and for callers without access. A platform
    role replaces the roles of memberships. `refusal` explains why an identified caller has no tenant; it is raised
    where a tenant is required.
    """

    tenant: Tenant | None = None
    role: Role | None = None
    platform_role: PlatformRole | None = None
    api_key: ApiKey | None = None
    refusal: DomainError | None = None

    @property
    def scope(self) -> Scope | None:
        """Return the scope of rows visible to the request, or None if there is none."""
        if self.tenant is not None:
            return Scope(tenant_id=self.tenant.pk)
        return Scope(tenant_id=None) if self.platform_role is not None and self.refusal is None else None

    @property
    def own_tenant_id(self) -> UUID | None:
        """Return the id of the tenant that the caller belongs to, or None for platform staff."""
        return self.tenant.pk if self.tenant is not None and self.platform_role is None else None

    @property
    def sees_all_tenants(self) -> bool:
        """Return whether rows of several tenants may be listed together, so that each must show its tenant."""
        return self.scope is not None and self.tenant is None

    @property
    def granted(self) -> frozenset[Permission]:
        """Return the permissions of the role or key, whatever the tenant's state."""
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
        """Return the current permissions; members and keys of a suspended tenant may only read."""
        if self.platform_role is None and self.tenant is not None and self.tenant.status == TenantStatus.SUSPENDED:
            return self.granted & READ_ONLY
        return self.granted

    def may(self, permission: Permission) -> bool:
        """Return whether the caller has this permission."""
        return permission in self.permissions


NO_ACCESS = Access()


def access_of(request: HttpRequest | Request) -> Access:
    """Return the access that the middleware found, or `NO_ACCESS` on paths that it skips.

    REST framework's request returns the attributes of Django's.
    """
    access = getattr(request, "access", NO_ACCESS)
    return access if isinstance(access, Access) else NO_ACCESS


SCHEME = "Api-Key"


@dataclass(frozen=True, slots=True)
class ApiKeyHolder:
    """The `request.user` of a request with an API key; it stands for no account."""

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
    """Authenticator for API keys: 401 if the key is unknown, wrong or revoked; a code of its own if it has expired."""

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
