"""What a request may see and do: found once by the middleware, read by API and console."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from tenants.context import Scope
from tenants.exceptions import DomainError
from tenants.models import ApiKey, Role, Tenant
from tenants.permissions import DEFAULT_KEY_SCOPES, NOTHING, PLATFORM_ROLES, TENANT_ROLES, Permission, PlatformRole


@dataclass(frozen=True, slots=True)
class Access:
    """`tenant` is None for platform staff who named none (they see all), and for whoever may see nothing.

    `refusal` says why an identified caller has no tenant; it is raised where a tenant is needed.
    """

    tenant: Tenant | None = None
    role: Role | None = None
    is_platform_staff: bool = False
    api_key: ApiKey | None = None
    refusal: DomainError | None = None

    @property
    def scope(self) -> Scope | None:
        """The rows that exist for the request; None: no tenant's."""
        if self.tenant is not None:
            return Scope(tenant_id=self.tenant.pk)
        return Scope(tenant_id=None) if self.is_platform_staff and self.refusal is None else None

    @property
    def permissions(self) -> frozenset[Permission]:
        """All that the caller may do in this scope."""
        if self.is_platform_staff:
            return PLATFORM_ROLES[PlatformRole.ADMIN]
        if self.api_key is not None:
            return DEFAULT_KEY_SCOPES if self.role is not None else NOTHING
        return TENANT_ROLES[self.role] if self.role is not None else NOTHING

    def may(self, permission: Permission) -> bool:
        """Whether the caller has this right here."""
        return permission in self.permissions

    @property
    def can_read(self) -> bool:
        return self.is_platform_staff or self.role is not None

    @property
    def can_write(self) -> bool:
        return self.is_platform_staff or self.role in (Role.OWNER, Role.DEVELOPER)

    @property
    def can_administer(self) -> bool:
        """May decide who acts for the tenant: members and keys."""
        return self.is_platform_staff or self.role is Role.OWNER


NO_ACCESS = Access()
# API keys act, and do not decide who else may.
API_KEY_ROLE = Role.DEVELOPER


def access_of(request: HttpRequest) -> Access:
    """The access that the middleware found; none for paths that it leaves alone."""
    access = getattr(request, "access", NO_ACCESS)
    return access if isinstance(access, Access) else NO_ACCESS
