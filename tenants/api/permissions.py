"""Viewers read, developers and owners write, platform staff does both for the tenant that it names."""

from __future__ import annotations

from collections.abc import Mapping

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.access import Access, access_of
from tenants.exceptions import TenantRequiredError, TenantSuspendedError
from tenants.permissions import Permission


class TenantPermission(BasePermission):
    """Reading needs a role in the tenant, writing one that may; staff that named no tenant reads all of them."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        access = _access(request)
        if not request.user.is_authenticated:
            return False
        if access.refusal is not None:
            raise access.refusal
        needed = needed_permission(request, view)
        if request.method in SAFE_METHODS:
            return access.can_read if needed is None else access.may(needed)
        if access.tenant is None:
            raise TenantRequiredError
        if not (access.can_write if needed is None else access.may(needed)):
            return False
        if access.tenant.is_suspended and not access.is_platform_staff:
            raise TenantSuspendedError(f"The tenant is suspended: {access.tenant.status_reason}")
        return True


class PlatformStaffPermission(BasePermission):
    """Only platform staff: what is not one tenant's."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = needed_permission(request, view)
        access = _access(request)
        may = access.is_platform_staff if needed is None else access.may(needed)
        return request.user.is_authenticated and may


def needed_permission(request: Request, view: APIView) -> Permission | None:
    """What a view declares for its action: `permissions = {"list": …, "POST": …}`, an action before a method."""
    declared: Mapping[str, Permission] = getattr(view, "permissions", {})
    return declared.get(getattr(view, "action", None) or "", declared.get(request.method or ""))


def _access(request: Request) -> Access:
    return access_of(request._request)  # noqa: SLF001 - the middleware wrote on Django's request
