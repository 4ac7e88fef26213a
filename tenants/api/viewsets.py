"""The bases of every view: the rows of one tenant, strict bodies, problems, one schema.

Each view declares the right that each of its actions needs; what is not declared is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from tenants.access.caller import Access, access_of
from tenants.access.permissions import READ_ONLY, Permission
from tenants.api.input import StrictJSONParser
from tenants.api.pagination import TenantCursorPagination
from tenants.api.schema import TenantAutoSchema
from tenants.console.live import tag_of
from tenants.exceptions import TenantRequiredError, TenantSuspendedError
from tenants.models import Tenant


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


# ASCII hexadecimals only: a path that is no UUID is no resource.
UUID_PATTERN = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


class TenantViewSet(GenericViewSet[Any]):
    """A resource of a tenant. Set `model`, or override `get_queryset` (and start from its answer).

    A class attribute `queryset` would be built at import, where no tenant is set; the manager forbids that.
    """

    model: ClassVar[type[Model]]
    # The right that each action (or method, as "GET") needs; what is missing here is refused.
    permissions: ClassVar[Mapping[str, Permission]] = {}
    # The cost of actions (or methods) that are not what `tenants.limits.declared` gives them.
    request_costs: ClassVar[Mapping[str, int]] = {}
    # Actions that change rows, and that people of the platform may do to all tenants' by naming no tenant.
    over_all_tenants: ClassVar[frozenset[str]] = frozenset()
    # Bytes; None: the setting DATA_UPLOAD_MAX_MEMORY_SIZE.
    max_body_bytes: ClassVar[int | None] = None
    # Bytes of the body of each action that takes files.
    max_upload_bytes: ClassVar[Mapping[str, int]] = {}

    permission_classes: ClassVar[list[type[BasePermission]]] = [TenantPermission]
    parser_classes: ClassVar[list[type[BaseParser]]] = [StrictJSONParser]
    pagination_class: ClassVar[type[TenantCursorPagination] | None] = TenantCursorPagination
    # No OPTIONS: the schema says what there is.
    metadata_class = None
    schema = TenantAutoSchema()
    lookup_value_regex = UUID_PATTERN

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        """REST framework's view, within the request's transaction without a savepoint: what fails takes it all back."""
        view = transaction.atomic(savepoint=False)(super().as_view(*args, **kwargs))
        return transaction.non_atomic_requests(view)

    @property
    def access(self) -> Access:
        """What this request may see and do."""
        return access_of(self.request._request)  # noqa: SLF001 - the middleware wrote on Django's request

    @property
    def tenant(self) -> Tenant:
        """The tenant that the request acts for; `tenant_required` where somebody of the platform has named none."""
        if self.access.tenant is None:
            raise TenantRequiredError
        return self.access.tenant

    def finalize_response(
        self, request: Any, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Give each page of a list a tag, and answer 304 to whoever has it already."""
        final: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(final, Response) and request.method == "GET" and _is_page(final):
            final.headers.setdefault("Cache-Control", "private, no-cache")
            final.add_post_render_callback(partial(tag_page, self.request._request))  # noqa: SLF001 - Django's own
        return final

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            # The schema is made without a request, hence without a tenant.
            return self.model._base_manager.none()
        return self.model._default_manager.all()


def tag_page(request: HttpRequest, page: HttpResponse) -> HttpResponseBase:
    """The page with the tag of its very bytes, or 304 where the caller knows them."""
    page.headers.setdefault("ETag", tag_of(page.content.decode()))
    answer: HttpResponseBase | None = get_conditional_response(request, etag=page.headers["ETag"], response=page)
    return answer or page


def _is_page(response: Response) -> bool:
    return response.status_code == 200 and isinstance(response.data, dict) and "results" in response.data


class StaffViewSet(TenantViewSet):
    """A resource of the platform: its rights are over what is no tenant's."""

    permission_classes: ClassVar[list[type[BasePermission]]] = [PlatformPermission]
