"""The `audit-log/` endpoint, including the export."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, cast

import django_filters
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request

from tenants.access.permissions import Permission
from tenants.access.reauthorization import require_still_authorized
from tenants.api.viewsets import TenantViewSet
from tenants.audit.export import CONTENT_TYPES, ExportFormat, export_entries
from tenants.audit.queries import AuditFilter
from tenants.exceptions import FieldInvalidError, FilterUnknownError
from tenants.limits.declared import HEAVY
from tenants.models import AuditLogEntry
from tenants.tenancy.serializers import AuditLogEntrySerializer

_PAGING = frozenset({"cursor", "limit"})


class AuditLogFilter(django_filters.FilterSet):
    """Filters of audit entries by action, target, actor, request and time."""

    action = django_filters.CharFilter()
    target_type = django_filters.CharFilter()
    target_id = django_filters.CharFilter()
    actor_kind = django_filters.CharFilter()
    actor_id = django_filters.CharFilter()
    actor_label = django_filters.CharFilter()
    request_id = django_filters.CharFilter()
    created_after = django_filters.IsoDateTimeFilter(method="after_moment", help_text="Inclusive.")
    created_before = django_filters.IsoDateTimeFilter(method="before_moment", help_text="Exclusive.")

    class Meta:
        model = AuditLogEntry
        fields: ClassVar[list[str]] = []

    def after_moment(self, queryset: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        return AuditFilter(at_or_after=value).apply(queryset)

    def before_moment(self, queryset: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        return AuditFilter(before=value).apply(queryset)


class StrictFilterBackend(DjangoFilterBackend):
    """Filter backend that refuses unknown query parameters: to ignore one would silently return too many entries."""

    def get_filterset(self, request: Request, queryset: QuerySet[Any], view: Any) -> Any:
        known = {*AuditLogFilter.base_filters, *view.other_parameters.get(view.action, _PAGING)}
        if unknown := sorted(set(request.query_params) - known):
            raise FilterUnknownError(
                "There is no filter %(name)r; the filters are %(known)s.",
                {"name": unknown[0][:100], "known": ", ".join(sorted(known))},
            )
        return super().get_filterset(request, queryset, view)


class OneRenderer(BaseContentNegotiation):
    """Content negotiation that always uses the view's first renderer, so that `?format=` is free for the export."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return next((parser for parser in parsers if parser.media_type in (request.content_type or "")), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class AuditLogViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Audit entries of the tenant, newest first."""

    model = AuditLogEntry
    serializer_class = AuditLogEntrySerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.AUDIT_VIEW,
        "retrieve": Permission.AUDIT_VIEW,
        "export": Permission.AUDIT_EXPORT,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"export": HEAVY}
    filterset_class = AuditLogFilter
    filter_backends: ClassVar[list[Any]] = [StrictFilterBackend]
    content_negotiation_class = OneRenderer
    other_parameters: ClassVar[Mapping[str, frozenset[str]]] = {
        "export": frozenset({"format"}),
        "retrieve": frozenset(),
    }

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("seal")

    @extend_schema(
        operation_id="audit_log_export",
        parameters=[OpenApiParameter("format", str, enum=list(CONTENT_TYPES), default="jsonl")],
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(OpenApiTypes.STR, "One entry per line, newest first."),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "The same as a table; cells never start a formula."),
        },
    )
    @action(detail=False, pagination_class=None)
    def export(self, request: Request) -> StreamingHttpResponse:
        """Download the filtered entries with all fields that are hashed, and with their seals."""
        wanted = request.query_params.get("format", "jsonl")
        if wanted not in CONTENT_TYPES:
            raise FieldInvalidError(
                "format: %(wanted)r is not one of %(known)s.",
                {"wanted": wanted[:20], "known": ", ".join(CONTENT_TYPES)},
            )
        file_format = cast("ExportFormat", wanted)
        filters = {name: value for name, value in request.query_params.items() if name != "format"}
        lines = export_entries(
            entries=self.filter_queryset(self.get_queryset()),
            filters=filters,
            file_format=file_format,
            before_page=partial(require_still_authorized, self.django_request, Permission.AUDIT_EXPORT),
        )
        headers = {
            "Content-Disposition": f'attachment; filename="audit-log.{file_format}"',
            "Cache-Control": "no-store",
        }
        return StreamingHttpResponse(lines, content_type=CONTENT_TYPES[file_format], headers=headers)
