"""Base classes of all API views: rows of one tenant, strict bodies, problem responses, one OpenAPI schema.

Each view declares the permission that each of its actions requires; an action without a declaration is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext
from rest_framework.exceptions import PermissionDenied
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants.access.caller import Access, access_of
from tenants.access.errors import FreshFactorRequiredError
from tenants.access.permissions import READ_ONLY, Permission
from tenants.api.input import StrictJSONParser
from tenants.api.list_options import ListOptions
from tenants.api.pagination import TenantCursorPagination
from tenants.api.schema import TenantAutoSchema
from tenants.console.polled_parts import etag_of
from tenants.exceptions import TenantRequiredError, TenantSuspendedError
from tenants.models import Tenant


class TenantPermission(BasePermission):
    """Permission class of views of a tenant's rows.

    Platform staff may read the rows of all tenants; to write, they must name a tenant. Only the actions listed in a
    view's `over_all_tenants` may write to the rows of all tenants at once.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        access = access_of(request)
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
    """Permission class of views of the platform's own rows. The tenant that the caller has named does not matter."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        access = access_of(request)
        if not request.user.is_authenticated:
            return False
        if not _is_served(request, view):
            return True
        if access.refusal is not None and access.platform_role is not None:
            raise access.refusal
        needed = needed_permission(request, view)
        return needed is not None and _holds(access, needed)


def needed_permission(request: Request, view: APIView) -> Permission | None:
    """Return the permission that the view declares for the request's action or method; None if it declares none.

    A view declares `permissions = {"list": …, "POST": …}`; the action's entry takes precedence over the method's.
    """
    declared: Mapping[str, Permission] = getattr(view, "permissions", {})
    method = "GET" if request.method == "HEAD" else request.method or ""
    return declared.get(getattr(view, "action", None) or "", declared.get(method))


def _holds(access: Access, needed: Permission) -> bool:
    if needed in access.withheld:
        raise FreshFactorRequiredError
    if needed in access.granted and not access.may(needed):
        reason = access.tenant.status_reason if access.tenant else ""
        raise TenantSuspendedError("The tenant is suspended: %(reason)s", {"reason": reason})
    if not access.may(needed):
        raise PermissionDenied(gettext("This requires the permission %(needed)s.") % {"needed": needed})
    return True


def _is_over_all(view: APIView) -> bool:
    return getattr(view, "action", None) in getattr(view, "over_all_tenants", ())


def _is_served(request: Request, view: APIView) -> bool:
    """Return whether the view handles this method; if not, an authenticated caller gets 405."""
    handler = getattr(view, (request.method or "").lower(), view.http_method_not_allowed)
    return request.method != "OPTIONS" and bool(handler != view.http_method_not_allowed)


# ASCII hexadecimals only: a path that is no UUID is no resource.
UUID_PATTERN = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


class TenantViewSet(ListOptions):
    """Base view of a tenant's rows. A subclass sets `model`, or overrides `get_queryset` and extends its result.

    Do not set the class attribute `queryset`: it would be built at import, where the manager raises because no tenant
    is set.
    """

    model: ClassVar[type[Model]]
    # The permission of each action, or of a method such as "GET". Undeclared actions are refused.
    permissions: ClassVar[Mapping[str, Permission]] = {}
    # The cost of actions (or methods) that are not what `tenants.limits.declared` gives them.
    request_costs: ClassVar[Mapping[str, int]] = {}
    # Writing actions that platform staff may apply to all tenants' rows by naming no tenant.
    over_all_tenants: ClassVar[frozenset[str]] = frozenset()
    # Bytes; None: the setting DATA_UPLOAD_MAX_MEMORY_SIZE.
    max_body_bytes: ClassVar[int | None] = None
    # Bytes of the body of each action that takes files.
    max_upload_bytes: ClassVar[Mapping[str, int]] = {}

    permission_classes: ClassVar[list[type[BasePermission]]] = [TenantPermission]
    parser_classes: ClassVar[list[type[BaseParser]]] = [StrictJSONParser]
    pagination_class: ClassVar[type[TenantCursorPagination] | None] = TenantCursorPagination
    # No OPTIONS: the OpenAPI schema describes the API.
    metadata_class = None
    schema = TenantAutoSchema()
    lookup_value_regex = UUID_PATTERN
    # The request that the middleware reads and writes; `request` is REST framework's, which wraps it.
    django_request: HttpRequest

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the view wrapped in one transaction without savepoints: an error rolls back the whole request."""
        view = transaction.atomic(savepoint=False)(super().as_view(*args, **kwargs))
        return transaction.non_atomic_requests(view)

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Return REST framework's request, and store Django's as `django_request`."""
        self.django_request = request
        return super().initialize_request(request, *args, **kwargs)

    @property
    def access(self) -> Access:
        """Return the tenant, role and permissions of this request."""
        return access_of(self.request)

    @property
    def tenant(self) -> Tenant:
        """Return the tenant of the request; raise `TenantRequiredError` if platform staff have named none."""
        if self.access.tenant is None:
            raise TenantRequiredError
        return self.access.tenant

    def finalize_response(
        self, request: Any, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Add an ETag to each page of a list; answer 304 if the client already has that page."""
        final: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(final, Response) and request.method == "GET" and _is_page(final):
            final.headers.setdefault("Cache-Control", "private, no-cache")
            final.add_post_render_callback(partial(tag_page, self.django_request))
        return final

    def get_queryset(self) -> QuerySet[Any]:
        """Return the model's rows that are visible in the request's tenant scope."""
        if getattr(self, "swagger_fake_view", False):
            # The schema is generated without a request, hence without a tenant.
            return self.model._base_manager.none()
        return self.model._default_manager.all()


def tag_page(request: HttpRequest, page: HttpResponse) -> HttpResponseBase:
    """Return the page with an ETag computed from its bytes, or a 304 response if the client already has it."""
    page.headers.setdefault("ETag", etag_of(page.content.decode()))
    answer: HttpResponseBase | None = get_conditional_response(request, etag=page.headers["ETag"], response=page)
    return answer or page


def _is_page(response: Response) -> bool:
    return response.status_code == 200 and isinstance(response.data, dict) and "results" in response.data


class Unpaged:
    """Mixin for views whose responses are no pages of rows: they have no filters and no order, either."""

    pagination_class: ClassVar[type[TenantCursorPagination] | None] = None
    filter_backends: ClassVar[list[Any]] = []


class StaffViewSet(TenantViewSet):
    """Base view of the platform's own rows."""

    permission_classes: ClassVar[list[type[BasePermission]]] = [PlatformPermission]
