"""`errors/`: what goes wrong for a tenant, grouped by fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.serializers.errors import (
    ErrorGroupsSerializer,
    ErrorOccurrencesSerializer,
    ErrorQuerySerializer,
)
from scheduling.exceptions import ErrorGroupNotFoundError
from scheduling.models import JobError
from scheduling.selectors.errors import MAX_OCCURRENCES, describe_occurrences, find_occurrences, group_errors
from tenants.api.viewsets import TenantViewSet
from tenants.permissions import Permission


class ErrorViewSet(TenantViewSet):
    """Errors of executions and of jobs that died waiting."""

    model = JobError
    serializer_class = ErrorGroupsSerializer
    pagination_class = None
    filter_backends: ClassVar[list[Any]] = []
    lookup_field = "fingerprint"
    # A fingerprint that is none has no errors: 404 like any that nobody has met.
    lookup_value_regex = "[0-9a-f-]{1,36}"
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "retrieve": Permission.JOBS_VIEW,
    }

    @extend_schema(operation_id="errors_list", parameters=[ErrorQuerySerializer], responses=ErrorGroupsSerializer)
    def list(self, request: Request) -> Response:
        """List the errors of a time range, grouped by fingerprint, most frequent first."""
        span = ErrorQuerySerializer.parse(request.query_params).to_range()
        return Response(ErrorGroupsSerializer(group_errors(**span)).data)

    @extend_schema(
        operation_id="errors_retrieve",
        parameters=[OpenApiParameter("fingerprint", str, OpenApiParameter.PATH), ErrorQuerySerializer],
        responses=ErrorOccurrencesSerializer,
    )
    def retrieve(self, request: Request, fingerprint: str) -> Response:
        """List the newest occurrences of one fingerprint."""
        span = ErrorQuerySerializer.parse(request.query_params).to_range()
        errors = list(find_occurrences(fingerprint, **span)[: MAX_OCCURRENCES + 1])
        if not errors:
            raise ErrorGroupNotFoundError
        may_trace = self.access.may(Permission.LOGS_VIEW)
        found = describe_occurrences(errors[:MAX_OCCURRENCES], with_traceback=may_trace)
        answer = {"results": found, "has_more": len(errors) > MAX_OCCURRENCES}
        return Response(ErrorOccurrencesSerializer(answer).data)
