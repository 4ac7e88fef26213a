"""The root of the API: the resources that the caller may use, and how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver
from django.utils.regex_helper import normalize
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
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

    # Each resource checks its own.
    permission_classes = ()
    schema = TenantAutoSchema()

    @extend_schema(operation_id="root_retrieve", responses=RootSerializer)
    def get(self, request: Request) -> Response:
        """List the resources that the caller may use; addresses of single objects follow from them."""
        from jobsplatform.urls import api_patterns

        access, base = access_of(request), request.build_absolute_uri(request.path)
        found: dict[str, list[str]] = {}
        for address, pattern in _walk(api_patterns):
            found.setdefault(address, []).extend(_methods(pattern, access))
        resources = {
            address.rstrip("/"): {"url": f"{base}{address}", "methods": sorted(methods)}
            for address, methods in sorted(found.items())
            if methods
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


def _methods(pattern: URLPattern, access: Access) -> list[str]:
    """Return the methods of a view that the caller may use; views without declared permissions are open to all."""
    view: Any = pattern.callback
    actions: dict[str, str] | None = getattr(view, "actions", None)
    if actions is None:
        return ["GET"]
    allowed = {method.upper(): view.cls.permissions.get(name) for method, name in actions.items() if method != "head"}
    return [method for method, permission in allowed.items() if permission is not None and access.may(permission)]
