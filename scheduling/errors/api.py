"""API of `errors/`: the errors of a tenant's jobs, grouped by fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import QuerySerializer
from scheduling.errors.queries import (
    MAX_OCCURRENCES,
    ErrorGroup,
    ErrorOccurrence,
    describe_occurrences,
    find_occurrences,
    group_errors,
)
from scheduling.exceptions import ErrorGroupNotFoundError
from scheduling.models import JobError
from tenants.access.permissions import Permission
from tenants.api.input import MomentField
from tenants.api.viewsets import TenantViewSet, Unpaged

DEFAULT_RANGE = timedelta(days=1)


class ErrorQuerySerializer(QuerySerializer):
    """Query parameters with a time range, by default the last 24 hours."""

    created_after = MomentField(default=None, help_text="Inclusive; by default a day before the end.")
    created_before = MomentField(default=None, help_text="Exclusive; by default now.")

    def to_range(self) -> dict[str, Any]:
        """Return the range as keyword arguments of the queries."""
        until = self.validated_data["created_before"] or timezone.now() + timedelta(minutes=5)
        return {"since": self.validated_data["created_after"] or until - DEFAULT_RANGE, "until": until}


class ErrorGroupSerializer(serializers.Serializer[ErrorGroup]):
    """Group of errors of the same type whose messages differ only in details such as numbers."""

    fingerprint = serializers.CharField()
    tenant = serializers.UUIDField(source="tenant_id")
    kinds = serializers.ListField(child=serializers.CharField())
    type = serializers.CharField()
    message = serializers.CharField(help_text="Beginning of the newest one's message.")
    count = serializers.IntegerField(help_text="Within the range.")
    first_at = serializers.DateTimeField(help_text="Within the range.")
    last_at = serializers.DateTimeField()
    job = serializers.UUIDField(source="job_id", help_text="Job of the newest one.")


# One object, although its action is called `list`.
@extend_schema_serializer(many=False)
class ErrorGroupsSerializer(serializers.Serializer[Any]):
    """Groups of the errors in a time range, most frequent first."""

    results = ErrorGroupSerializer(many=True, source="groups")
    is_capped = serializers.BooleanField(
        help_text="Whether there are more errors than the newest 10,000, which are counted."
    )


class ErrorOccurrenceSerializer(serializers.Serializer[ErrorOccurrence]):
    """One error of a job."""

    id = serializers.UUIDField(source="error.id")
    job = serializers.UUIDField(source="error.job_id")
    execution = serializers.UUIDField(source="error.execution_id", allow_null=True)
    kind = serializers.CharField(source="error.kind")
    type = serializers.CharField(source="error.error_type")
    message = serializers.CharField(source="error.error_message")
    at = serializers.DateTimeField(source="error.at")
    traceback = serializers.CharField(help_text="Empty without the permission `logs.view`.")
    dead_letter = serializers.UUIDField(source="dead_letter.id", default=None, allow_null=True)


class ErrorOccurrencesSerializer(serializers.Serializer[Any]):
    """Newest errors with one fingerprint in a time range."""

    results = ErrorOccurrenceSerializer(many=True)
    has_more = serializers.BooleanField(
        help_text="Whether there are older ones; find them with an earlier `created_before`."
    )


class ErrorViewSet(Unpaged, TenantViewSet):
    """Errors of executions, and of jobs that were given up while they waited."""

    model = JobError
    serializer_class = ErrorGroupsSerializer
    lookup_field = "fingerprint"
    # An invalid fingerprint has no errors, which is a 404 as for any unknown one.
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
        """List the newest errors with one fingerprint."""
        span = ErrorQuerySerializer.parse(request.query_params).to_range()
        errors = list(find_occurrences(fingerprint, **span)[: MAX_OCCURRENCES + 1])
        if not errors:
            raise ErrorGroupNotFoundError
        may_trace = self.access.may(Permission.LOGS_VIEW)
        found = describe_occurrences(errors[:MAX_OCCURRENCES], with_traceback=may_trace)
        answer = {"results": found, "has_more": len(errors) > MAX_OCCURRENCES}
        return Response(ErrorOccurrencesSerializer(answer).data)
