"""The root of the API: the resources that the caller may use, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.urls import URLPattern, URLResolver
from django.utils.regex_helper import normalize
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants.access.caller import Access, access_of
from tenants.api.schema import TenantAutoSchema


class ResourceSerializer(serializers.Serializer[Any]):
    """A resource that the caller may use."""

    url = serializers.CharField()
    methods = serializers.ListField(child=serializers.CharField(), help_text="What the caller may do at this URL.")


class RootSerializer(serializers.Serializer[Any]):
    """The root of the API."""

    resources = serializers.DictField(child=ResourceSerializer(), help_text="By their paths.")


class RootView(APIView):
    """The root of the API."""

    permission_classes = (AllowAny,)
    schema = TenantAutoSchema()

    @extend_schema(operation_id="root_retrieve", responses=RootSerializer)
    def get(self, request: Request) -> Response:
        """List the resources that the caller may use; addresses of single objects follow from them."""
        from jobsplatform.urls import api_patterns

        access, base = access_of(request), request.build_absolute_uri(request.path)
        found: dict[str, set[str]] = {}
        for address, pattern in _walk(api_patterns):
            if methods := {method for method, permission in _declared(pattern) if _may(access, permission)}:
                found.setdefault(address, set()).update(methods)
        resources = {
            address.rstrip("/"): {"url": f"{base}{address}", "methods": sorted(methods)}
            for address, methods in sorted(found.items())
        }
        return Response({"resources": resources}, headers={"Cache-Control": "private, no-store"})


def _walk(patterns: Any, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Yield the addresses without parameters, with their patterns."""
    for pattern in patterns:
        address, parameters = normalize(str(pattern.pattern.regex.pattern))[0]
        if parameters:
            continue
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, before + address)
        elif before + address:
            yield before + address, pattern


def _declared(pattern: URLPattern) -> Iterator[tuple[str, Any]]:
    """Yield the methods of a view with the permission of each; None for views that are open to all."""
    view: Any = pattern.callback
    actions: Mapping[str, str] | None = getattr(view, "actions", None)
    if actions is None:
        yield "GET", None
        return
    for method, action in actions.items():
        if method != "head" and (permission := view.cls.permissions.get(action)) is not None:
            yield method.upper(), permission


def _may(access: Access, permission: Any) -> bool:
    return permission is None or access.may(permission)
