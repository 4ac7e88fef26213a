"""What a request may see and do: found once by the middleware, read by API and console."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest

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
    """`tenant` is None for people of the platform who named none (they see all), and for whoever may see nothing.

    A platform role takes the place of what memberships would grant: whoever audits writes nowhere.
    `refusal` says why an identified caller has no tenant; it is raised where a tenant is needed.
    """

    tenant: Tenant | None = None
    role: Role | None = None
    platform_role: PlatformRole | None = None
    api_key: ApiKey | None = None
    refusal: DomainError | None = None

    @property
    def scope(self) -> Scope | None:
        """The rows that exist for the request; None: no tenant's."""
        if self.tenant is not None:
            return Scope(tenant_id=self.tenant.pk)
        return Scope(tenant_id=None) if self.platform_role is not None and self.refusal is None else None

    @property
    def own_tenant_id(self) -> UUID | None:
        """The tenant that the caller belongs to; None for people of the platform, whichever tenant they look at."""
        return self.tenant.pk if self.tenant is not None and self.platform_role is None else None

    @property
    def sees_all_tenants(self) -> bool:
        """Whether rows of several tenants may stand side by side, so that each has to say whose it is."""
        return self.scope is not None and self.tenant is None

    @property
    def granted(self) -> frozenset[Permission]:
        """All that the role or the key is for, whatever state the tenant is in."""
        if self.refusal is not None:
            return NOTHING
        if self.platform_role is not None:
            return PLATFORM_ROLES[self.platform_role]
        if self.tenant is None:
            return NOTHING
        if self.api_key is not None:
            return read_scopes(self.api_key.scopes)
        return TENANT_ROLES[self.role] if self.role is not None else NOTHING

    @property
    def permissions(self) -> frozenset[Permission]:
        """All that the caller may do now; a suspended tenant's own people and keys only look."""
        if self.platform_role is None and self.tenant is not None and self.tenant.is_suspended:
            return self.granted & READ_ONLY
        return self.granted

    def may(self, permission: Permission) -> bool:
        """Whether the caller has this right here."""
        return permission in self.permissions


NO_ACCESS = Access()


def access_of(request: HttpRequest) -> Access:
    """The access that the middleware found; none for paths that it leaves alone."""
    access = getattr(request, "access", NO_ACCESS)
    return access if isinstance(access, Access) else NO_ACCESS
