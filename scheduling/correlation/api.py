"""API of `correlation/`: the rows of one trace, request, batch or job in the order of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import QuerySerializer, QueryTextField
from scheduling.correlation.queries import CorrelatedRow, CorrelationKey, correlate
from scheduling.execution.logs.service import LEVELS
from scheduling.models import Job
from tenants.access.permissions import Permission
from tenants.api.input import MomentField
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.limits.declared import SEARCH


class CorrelationQuerySerializer(QuerySerializer):
    """The id that the rows have in common: exactly one of the four."""

    trace = QueryTextField(help_text="Trace id, 32 hexadecimal digits.")
    request = QueryTextField(max_length=64, help_text="Request id, as in the header `X-Request-ID` of the response.")
    batch = serializers.UUIDField(default=None)
    job = serializers.UUIDField(default=None, help_text="Its ancestors and descendants are included.")
    at = MomentField(default=None, help_text="A time within a minute of the request.")
    level = serializers.ChoiceField(
        choices=list(LEVELS), default="debug", help_text="Log lines of this level and those above it."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if sum(attrs[key] is not None for key in CorrelationKey) != 1:
            raise serializers.ValidationError(gettext("Give exactly one of trace, request, batch and job."))
        return attrs


class CorrelatedRowSerializer(serializers.Serializer[CorrelatedRow]):
    """One job, attempt, event, log line or audit entry."""

    what = serializers.ChoiceField(choices=["job", "attempt", "event", "log", "audit"])
    id = serializers.UUIDField()
    job = serializers.UUIDField(source="job_id", allow_null=True)
    at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True, help_text="Of a job or an attempt.")
    until = serializers.DateTimeField(allow_null=True, help_text="Of a job or an attempt; null until it has ended.")
    state = serializers.CharField(help_text="Of a log line its level.")
    title = serializers.CharField(help_text="Kind, number, event name, message or action.")
    text = serializers.CharField(help_text="Error or actor.")


# One object, though its action is called `list`.
@extend_schema_serializer(many=False)
class CorrelationSerializer(serializers.Serializer[Any]):
    """Rows in the order of time."""

    results = CorrelatedRowSerializer(many=True, source="rows")
    is_cut = serializers.BooleanField(help_text="Whether there are more jobs than 200, or more rows than 2,000.")


class CorrelationViewSet(Unpaged, TenantViewSet):
    """What belongs to one trace, request, batch or job."""

    model = Job
    serializer_class = CorrelationSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"list": Permission.JOBS_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"list": SEARCH}

    @extend_schema(operation_id="correlation_list", parameters=[CorrelationQuerySerializer])
    def list(self, request: Request) -> Response:
        """List the jobs, attempts, events, log lines and audit entries of a trace, request, batch or job.

        Log lines need the permission `logs.view`, audit entries `audit.view`.
        """
        values = CorrelationQuerySerializer.parse(request.query_params).validated_data
        key = next(key for key in CorrelationKey if values[key] is not None)
        found = correlate(
            key,
            str(values[key]),
            at=values["at"],
            level=LEVELS[values["level"]],
            with_logs=self.access.may(Permission.LOGS_VIEW),
            with_audit=self.access.may(Permission.AUDIT_VIEW),
        )
        return Response(CorrelationSerializer(found).data)
