"""Each view declares the right that each of its actions needs; what is not declared is refused."""

from __future__ import annotations

from collections.abc import Mapping

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.access.caller import Access, access_of
from tenants.access.permissions import READ_ONLY, Permission
from tenants.exceptions import TenantRequiredError, TenantSuspendedError


class TenantPermission(BasePermission):
    """The declared right in the caller's tenant; people of the platform read all tenants and write in one they name.

    Actions in a view's `over_all_tenants` they may do without naming one: it is then done to all tenants' rows.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        access = _access(request)
        if not request.user.is_authenticated:
            return False
        if not _is_served(request, view):
            return True
        if access.refusal is not None:
            raise access.refusal
        needed = needed_permission(request, view)
        if needed is None or not _holds(access, needed):
            return False
        if needed not in READ_ONLY and access.tenant is None and not _is_over_all(view):
            raise TenantRequiredError
        return True


class PlatformPermission(BasePermission):
    """The declared right over what is no tenant's, whichever tenant the caller may have named."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        access = _access(request)
        if not request.user.is_authenticated:
            return False
        if not _is_served(request, view):
            return True
        if access.refusal is not None and access.platform_role is not None:
            raise access.refusal
        needed = needed_permission(request, view)
        return needed is not None and _holds(access, needed)


def needed_permission(request: Request, view: APIView) -> Permission | None:
    """What a view declares for its action: `permissions = {"list": …, "POST": …}`, an action before a method."""
    declared: Mapping[str, Permission] = getattr(view, "permissions", {})
    method = "GET" if request.method == "HEAD" else request.method or ""
    return declared.get(getattr(view, "action", None) or "", declared.get(method))


def _holds(access: Access, needed: Permission) -> bool:
    if needed in access.granted and not access.may(needed):
        reason = access.tenant.status_reason if access.tenant else ""
        raise TenantSuspendedError("The tenant is suspended: %(reason)s", {"reason": reason})
    return access.may(needed)


def _is_over_all(view: APIView) -> bool:
    return getattr(view, "action", None) in getattr(view, "over_all_tenants", ())


def _is_served(request: Request, view: APIView) -> bool:
    """Whether the view has anything for this method; where it has not, the answer is 405 for whoever is known."""
    handler = getattr(view, (request.method or "").lower(), view.http_method_not_allowed)
    return request.method != "OPTIONS" and bool(handler != view.http_method_not_allowed)


def _access(request: Request) -> Access:
    return access_of(request._request)  # noqa: SLF001 - the middleware wrote on Django's request
