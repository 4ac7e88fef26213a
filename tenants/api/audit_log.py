"""`audit-log/`: the log, its export, its verification."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, cast

import django_filters
from django.core import signing
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.fields import StrictSerializer
from tenants.api.serializers import AuditLogEntrySerializer
from tenants.api.viewsets import TenantViewSet
from tenants.exceptions import CursorInvalidError, FieldInvalidError, FilterUnknownError
from tenants.models import AuditLogEntry
from tenants.permissions import Permission
from tenants.selectors.audit_log import AuditFilter
from tenants.services.audit_acts import CONTENT_TYPES, ExportFormat, export_entries, verify_by_request
from tenants.standing import require_still

_PAGING = frozenset({"cursor", "limit"})
_CURSOR_SALT = "audit-log.verify"


class AuditLogFilter(django_filters.FilterSet):
    """By act, target, actor, request and time."""

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
    """Refuses a parameter that it does not know: ignored, it would silently widen the answer."""

    def get_filterset(self, request: Request, queryset: QuerySet[Any], view: Any) -> Any:
        known = {*AuditLogFilter.base_filters, *view.other_parameters.get(view.action, _PAGING)}
        if unknown := sorted(set(request.query_params) - known):
            raise FilterUnknownError(f"There is no filter {unknown[0][:100]!r}; there are {', '.join(sorted(known))}.")
        return super().get_filterset(request, queryset, view)


class OneRenderer(BaseContentNegotiation):
    """Leaves `?format=` to the export, which is no rendering of REST framework's."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return next((parser for parser in parsers if parser.media_type in (request.content_type or "")), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class VerifySerializer(StrictSerializer):
    """Where a verification goes on."""

    after = serializers.CharField(required=False, max_length=2000, help_text="`next` of the answer before.")


class FindingSerializer(serializers.Serializer[Any]):
    """One thing that is wrong with a chain."""

    kind = serializers.CharField()
    chain = serializers.UUIDField()
    sequence = serializers.IntegerField(allow_null=True)
    entry = serializers.UUIDField(allow_null=True)
    detail = serializers.CharField()


class VerificationSerializer(serializers.Serializer[Any]):
    """What was covered, and what was found."""

    is_intact = serializers.BooleanField()
    is_complete = serializers.BooleanField(help_text="False: more than one answer's time; go on with `next`.")
    covered = serializers.DictField(child=serializers.IntegerField())
    findings = FindingSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class AuditLogViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """What people, keys and commands have done to the tenant, newest first."""

    model = AuditLogEntry
    serializer_class = AuditLogEntrySerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.AUDIT_VIEW,
        "retrieve": Permission.AUDIT_VIEW,
        "export": Permission.AUDIT_EXPORT,
        "verify": Permission.AUDIT_VIEW,
    }
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
            (200, "application/x-ndjson"): OpenApiResponse(OpenApiTypes.STR, "One entry a line, newest first."),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "The same as a table; no cell is a formula."),
        },
    )
    @action(detail=False, pagination_class=None)
    def export(self, request: Request) -> StreamingHttpResponse:
        """Download the entries that the filters select, with all that is hashed and their seals."""
        wanted = request.query_params.get("format", "jsonl")
        if wanted not in CONTENT_TYPES:
            raise FieldInvalidError(f"format: {wanted[:20]!r} is not one of {', '.join(CONTENT_TYPES)}.")
        file_format = cast("ExportFormat", wanted)
        filters = {name: value for name, value in request.query_params.items() if name != "format"}
        lines = export_entries(
            entries=self.filter_queryset(self.get_queryset()),
            filters=filters,
            file_format=file_format,
            before_page=partial(require_still, request._request, Permission.AUDIT_EXPORT),  # noqa: SLF001 - Django's own
        )
        headers = {
            "Content-Disposition": f'attachment; filename="audit-log.{file_format}"',
            "Cache-Control": "no-store",
        }
        return StreamingHttpResponse(lines, content_type=CONTENT_TYPES[file_format], headers=headers)

    @extend_schema(operation_id="audit_log_verify", request=VerifySerializer, responses=VerificationSerializer)
    @action(detail=False, methods=["post"])
    def verify(self, request: Request) -> Response:
        """Verify the tenant's chain against its entries and signed heads, for at most five seconds."""
        body = VerifySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        outcome = verify_by_request(tenant=self.tenant, after=_open_cursor(body.validated_data.get("after")))
        answer = {
            "is_intact": outcome.is_intact,
            "is_complete": outcome.is_complete,
            "covered": outcome.counts(),
            "findings": [finding.as_dict() for finding in outcome.findings],
            "next": None if outcome.next is None else signing.dumps(outcome.next, salt=_CURSOR_SALT),
        }
        return Response(VerificationSerializer(answer).data)


def _open_cursor(given: str | None) -> str | None:
    # Signed, so that what comes back is a place that the verifier itself has named.
    try:
        return None if given is None else str(signing.loads(given, salt=_CURSOR_SALT))
    except signing.BadSignature as error:
        raise CursorInvalidError from error
