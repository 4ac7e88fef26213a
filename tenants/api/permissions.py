"""Viewers read, developers and owners write, platform staff does both for the tenant that it names."""

from __future__ import annotations

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.access import Access, access_of
from tenants.exceptions import TenantRequiredError, TenantSuspendedError


class TenantPermission(BasePermission):
    """Reading needs a role in the tenant, writing one that may; staff that named no tenant reads all of them."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        access = _access(request)
        if not request.user.is_authenticated:
            return False
        if access.refusal is not None:
            raise access.refusal
        if request.method in SAFE_METHODS:
            return access.can_read
        if access.tenant is None:
            raise TenantRequiredError
        if not access.can_write:
            return False
        if access.tenant.is_suspended and not access.is_platform_staff:
            raise TenantSuspendedError(f"The tenant is suspended: {access.tenant.status_reason}")
        return True


class PlatformStaffPermission(BasePermission):
    """Only platform staff: what is not one tenant's."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.is_authenticated and _access(request).is_platform_staff


def _access(request: Request) -> Access:
    return access_of(request._request)  # noqa: SLF001 - the middleware wrote on Django's request
