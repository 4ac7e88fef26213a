"""API of `logs/`: search of the log lines of all jobs, numbers of the matching lines, and the lines around one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import MAX_QUERY_CHARACTERS, QuerySerializer, QueryTextField
from scheduling.execution.logs.api import MAX_LINES, JobLogLineSerializer, LogLineSerializer, QueryNumberField
from scheduling.log_search.platform_lines import search_platform_lines
from scheduling.log_search.query import LogLineNotFoundError, LogQuery, parse_query
from scheduling.log_search.search import (
    FoundLines,
    LogSummary,
    add_requests,
    lines_around,
    search_lines,
    summarize_lines,
)
from scheduling.models import JobLog, PlatformLog
from tenants.access.permissions import Permission
from tenants.api.input import MomentField
from tenants.api.viewsets import StaffViewSet, TenantViewSet
from tenants.context import all_tenants
from tenants.encryption.fields import is_sealing
from tenants.limits.declared import SEARCH


class LogQuerySerializer(QuerySerializer):
    """A search, and its time range."""

    q = QueryTextField(
        max_length=MAX_QUERY_CHARACTERS,
        allow_blank=True,
        help_text='A search such as `timeout level:error kind:noop "connection reset"`; see docs/how-to/logs.md.',
    )
    since = MomentField(default=None, help_text="Inclusive.")
    until = MomentField(default=None, help_text="Exclusive.")

    def to_query(self) -> LogQuery:
        """Return the parsed search; raise an error if it cannot be read or is not possible."""
        values = self.validated_data
        return parse_query(values["q"] or "", is_sealed=is_sealing()).between(values["since"], values["until"])


class PlatformListQuerySerializer(LogQuerySerializer):
    """A search, and which of its lines to return."""

    before = serializers.UUIDField(default=None, help_text="Id of a line, or `next`: return older lines.")
    limit = QueryNumberField(min_value=1, max_value=MAX_LINES, default=50, help_text="Maximum number of lines.")
    paging = ()


class LogListQuerySerializer(PlatformListQuerySerializer):
    """A search of the lines of jobs."""

    after = serializers.UUIDField(default=None, help_text="Id of a line: return newer lines, to follow the logs.")


class LogContextQuerySerializer(QuerySerializer):
    """How much to return around a line."""

    limit = QueryNumberField(min_value=1, max_value=MAX_LINES, default=20, help_text="Lines before, and lines after.")
    paging = ()


class FoundLineSerializer(JobLogLineSerializer):
    """One matching line with facts of its job and its execution."""

    job = serializers.UUIDField(source="job_id")
    tenant = serializers.CharField(source="slug")
    kind = serializers.CharField(allow_null=True, help_text="Null if the job is gone.")
    queue = serializers.CharField(allow_null=True)
    worker = serializers.CharField(allow_null=True, help_text="Host name of its worker.")
    version = serializers.CharField(allow_null=True, help_text="Version of its worker.")
    template = serializers.CharField(allow_null=True, help_text="Template of its job, empty or null without one.")
    trace = serializers.UUIDField(allow_null=True, format="hex", help_text="Trace of its job.")
    request = serializers.CharField(help_text="Request that submitted its job; empty if none did.")


# One object, though its action is called `list`.
@extend_schema_serializer(many=False)
class FoundLinesSerializer(serializers.Serializer[FoundLines]):
    """A page of matching lines, newest first."""

    next = serializers.UUIDField(source="before", allow_null=True, help_text="`before` of the following lines.")
    results = FoundLineSerializer(many=True, source="lines")
    is_cut = serializers.BooleanField(help_text="Whether the search took too long; it continues with `next`.")


class LogSummarySerializer(serializers.Serializer[LogSummary]):
    """Numbers of matching lines."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    parts = serializers.ListField(child=serializers.IntegerField(), help_text="Lines by equal part of the range.")
    is_estimated = serializers.BooleanField(help_text="Whether `parts` are projected from a part of the lines.")
    facets = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        help_text="Lines by value: the most frequent values of the newest `counted` lines.",
    )
    counted = serializers.IntegerField()


class LogContextSerializer(serializers.Serializer[Any]):
    """Lines of one job, oldest first."""

    results = JobLogLineSerializer(many=True)


# One object, though its action is called `list`.
@extend_schema_serializer(many=False)
class PlatformLinesSerializer(FoundLinesSerializer):
    """A page of matching lines of the platform's processes, newest first."""

    results = LogLineSerializer(many=True, source="lines")


class PlatformLogViewSet(StaffViewSet):
    """Log lines of the platform's own processes."""

    model = PlatformLog
    serializer_class = PlatformLinesSerializer
    pagination_class = None
    filter_backends: ClassVar[list[Any]] = []
    permissions: ClassVar[Mapping[str, Permission]] = {"list": Permission.PLATFORM_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"list": SEARCH}

    @extend_schema(operation_id="logs_platform_list", parameters=[PlatformListQuerySerializer])
    def list(self, request: Request) -> Response:
        """Search the stored log lines of the platform's processes, newest first."""
        query = PlatformListQuerySerializer.parse(request.query_params)
        page = {name: query.validated_data[name] for name in ("before", "limit")}
        with all_tenants():
            found = search_platform_lines(query.to_query(), **page)
        return Response(PlatformLinesSerializer(found).data)


class LogViewSet(TenantViewSet):
    """Log lines of all jobs."""

    model = JobLog
    serializer_class = FoundLinesSerializer
    pagination_class = None
    filter_backends: ClassVar[list[Any]] = []
    permissions: ClassVar[Mapping[str, Permission]] = dict.fromkeys(("list", "summary", "around"), Permission.LOGS_VIEW)
    request_costs: ClassVar[Mapping[str, int]] = {"list": SEARCH, "summary": SEARCH}

    @extend_schema(operation_id="logs_list", parameters=[LogListQuerySerializer])
    def list(self, request: Request) -> Response:
        """Search the log lines of all jobs, newest first."""
        query = LogListQuerySerializer.parse(request.query_params)
        page = {name: query.validated_data[name] for name in ("before", "after", "limit")}
        found = search_lines(query.to_query(), **page)
        add_requests(found.lines)
        return Response(FoundLinesSerializer(found).data)

    @extend_schema(operation_id="logs_summary", parameters=[LogQuerySerializer], responses=LogSummarySerializer)
    def summary(self, request: Request) -> Response:
        """Return numbers of the matching lines by time, and by kind, queue, worker, version, template and level."""
        query = LogQuerySerializer.parse(request.query_params).to_query()
        return Response(LogSummarySerializer(summarize_lines(query)).data)

    @extend_schema(
        operation_id="logs_around",
        parameters=[OpenApiParameter("line_id", UUID, OpenApiParameter.PATH), LogContextQuerySerializer],
        responses=LogContextSerializer,
    )
    def around(self, request: Request, line_id: str) -> Response:
        """List a line with those of its job right before and after it."""
        query = LogContextQuerySerializer.parse(request.query_params)
        lines = lines_around(UUID(line_id), count=query.validated_data["limit"])
        if not lines:
            raise LogLineNotFoundError
        return Response(LogContextSerializer({"results": lines}).data)
