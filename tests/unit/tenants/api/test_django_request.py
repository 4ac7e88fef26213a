"""REST framework's request, and Django's beside it."""

from __future__ import annotations

from typing import Any

from django.test import RequestFactory

from tenants.access.caller import NO_ACCESS, Access, access_of
from tenants.api.viewsets import TenantViewSet


def make_view() -> Any:
    """Return a view before its dispatch."""
    view: Any = TenantViewSet()
    view.action_map = {"get": "list"}
    return view


def test_view_keeps_the_request_that_the_middleware_reads() -> None:
    plain, view = RequestFactory().get("/"), make_view()
    view.initialize_request(plain)
    assert view.django_request is plain


def test_access_of_rest_frameworks_request_is_that_of_djangos() -> None:
    plain: Any = RequestFactory().get("/")
    request = make_view().initialize_request(plain)
    assert access_of(request) is NO_ACCESS
    plain.access = Access()
    assert access_of(request) is plain.access
