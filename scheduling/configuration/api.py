"""Base of the API views of rows that users configure.

Without a tenant in the request, platform staff see the rows of all tenants, and create rows of the platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.configuration.serializers import request_serializer, row_serializer
from scheduling.configuration.service import Configured, find_named
from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import NameField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet

_CHANGES = ("create", "partial_update", "destroy")
# Arguments of further actions on a row.
ON_ROW: dict[str, Any] = {"detail": True, "methods": ["post"], "filter_backends": [], "pagination_class": None}


class ConfiguredViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Rows that users configure.

    A subclass names its path and its rows, and what differs: the permissions of views and changes, the serializers of
    rows and of created ones, fields of requests that are no columns or have other rules, and the permissions of
    further actions.
    """

    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    path: ClassVar[str]
    configured: ClassVar[Configured[Any]]
    views: ClassVar[Permission] = Permission.JOBS_VIEW
    changes: ClassVar[Permission] = Permission.ALERTS_MANAGE
    shown: ClassVar[Any] = None
    created: ClassVar[Any] = None
    declared: ClassVar[Mapping[str, serializers.Field[Any, Any, Any, Any]]] = {}
    others: ClassVar[Mapping[str, Permission]] = {}
    request_serializer: ClassVar[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        rows = cls.configured
        cls.model = rows.model
        why = {} if "reason" in rows.fields else {"reason": NameField(max_length=500, required=False, allow_blank=True)}
        cls.serializer_class = cls.shown or row_serializer(rows)
        cls.request_serializer = request_serializer(
            f"{cls.model.__name__}Request", cls.model, rows.fields, **cls.declared, **why
        )
        reading = dict.fromkeys(("list", "retrieve"), cls.views)
        cls.permissions = {**reading, **dict.fromkeys(_CHANGES, cls.changes), **cls.others}
        # Further actions of platform staff concern rows of any tenant, too.
        is_of_all = rows.has_tenants and cls.model._meta.get_field("tenant").null
        cls.over_all_tenants = frozenset({*_CHANGES, *cls.others}) if is_of_all else frozenset()
        cls._describe()

    @classmethod
    def _describe(cls) -> None:
        name, read, write = cls.path.replace("-", "_"), cls.serializer_class, cls.request_serializer
        deleted = {204: OpenApiResponse(description="Deleted.")}
        extend_schema_view(
            list=extend_schema(operation_id=f"{name}_list"),
            create=extend_schema(
                operation_id=f"{name}_create", request=write, responses={201: cls.created or cls.serializer_class}
            ),
            retrieve=extend_schema(operation_id=f"{name}_retrieve", responses=read),
            partial_update=extend_schema(operation_id=f"{name}_update", request=write, responses=read),
            destroy=extend_schema(operation_id=f"{name}_destroy", responses=deleted),
        )(cls)

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related(*self.configured.joined)

    def create(self, request: Request) -> Response:
        """Create a row."""
        row = self._save(self.model(), is_partial=False)
        return Response((self.created or self.serializer_class)(row).data, status=201, headers=etag_headers(row))

    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a row."""
        return self.respond_with(self.find(pk))

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields."""
        return self.respond_with(self._save(self.begin_edit(lambda: self.find(pk)), is_partial=True))

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a row."""
        self.configured.delete(self.begin_edit(lambda: self.find(pk)))
        return Response(status=204)

    def find(self, pk: str) -> Any:
        """Return the row of a path."""
        return self.configured.find(UUID(pk))

    def respond_with(self, row: Any) -> Response:
        """Return the response that shows a row."""
        return Response(self.get_serializer_class()(row).data, headers=etag_headers(row))

    def _save(self, row: Any, *, is_partial: bool) -> Any:
        values = dict(self.request_serializer.of(self.request.data, partial=is_partial).validated_data)
        for name in self.configured.references & values.keys():
            if values[name] is not None:
                values[name] = find_named(row, name, values[name])
        reason = values.get("reason", "") if "reason" in self.configured.fields else values.pop("reason", "")
        return self.configured.save(row, values, reason=reason)
