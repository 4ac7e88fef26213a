"""`jobs/{id}/logs/`: a job's log as it grows, and as a file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.http import HttpResponseBase, HttpResponseNotModified, StreamingHttpResponse
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from scheduling.api.filters import QuerySerializer
from scheduling.exceptions import JobNotFoundError
from scheduling.execution.logs.queries import LogPage, read_log, stream_log
from scheduling.execution.logs.service import LEVELS
from scheduling.jobs.queries import get_job
from scheduling.models import Job, JobLog
from tenants.access.permissions import Permission
from tenants.access.reauthorization import is_still_authorized, require_still_authorized
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.console.polled_parts import etag_of
from tenants.context import tenant_context
from tenants.limits.declared import HEAVY
from tenants.requests.long_polls import (
    FIRST_PAUSE_SECONDS,
    LAST_PAUSE_SECONDS,
    places,
    polling_turn,
    release_resources,
)

MAX_LINES = 200
MAX_WAIT_SECONDS = 30


class QueryNumberField(serializers.IntegerField):
    """An integer query parameter in ASCII digits."""

    def to_internal_value(self, data: Any) -> int:
        if not (isinstance(data, str) and data.isascii() and data.isdigit()):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class JobLogTextQuerySerializer(QuerySerializer):
    """The level from which log lines are returned."""

    level = serializers.ChoiceField(choices=list(LEVELS), default="debug", help_text="This level and those above it.")

    @property
    def least_level(self) -> int:
        """Return the requested level as the number that is stored."""
        return LEVELS[self.validated_data["level"]]


class JobLogQuerySerializer(JobLogTextQuerySerializer):
    """Which log lines to return, and how long to wait for the first of them."""

    after = serializers.UUIDField(default=None, help_text="Id of a line: return the lines after it.")
    limit = QueryNumberField(min_value=1, max_value=MAX_LINES, default=MAX_LINES, help_text="Maximum number of lines.")
    wait = QueryNumberField(
        min_value=0,
        max_value=MAX_WAIT_SECONDS,
        default=0,
        help_text="Seconds to wait for a line if there is none yet and the job has not ended.",
    )

    # `limit` belongs to this list; there is no cursor.
    paging = ()


class LogLineSerializer(serializers.Serializer[Any]):
    """One line of a job or of the platform."""

    id = serializers.UUIDField()
    at = serializers.DateTimeField(help_text="By the clock of its process.")
    level = serializers.CharField(source="get_level_display", help_text="`debug`, `info`, `warning` or `error`.")
    message = serializers.CharField()
    fields = serializers.DictField()


class JobLogLineSerializer(LogLineSerializer):
    """One line that a job logged."""

    execution = serializers.UUIDField(source="execution_id")
    attempt = serializers.IntegerField()


# One object, though its action is called `list`.
@extend_schema_serializer(many=False)
class JobLogPageSerializer(serializers.Serializer[Any]):
    """A page of a job's log lines, oldest first."""

    next = serializers.URLField(allow_null=True, help_text="URL of the following lines; null if there are none yet.")
    results = JobLogLineSerializer(many=True)
    dropped = serializers.IntegerField(help_text="Lines dropped because the log is full.")
    job_state = serializers.CharField(help_text="State of the job before these lines were read.")
    is_final = serializers.BooleanField(help_text="Whether the job has ended and no lines follow.")


_JOB_ID = OpenApiParameter("job_id", UUID, OpenApiParameter.PATH)


class JobLogViewSet(Unpaged, TenantViewSet):
    """The log lines of jobs."""

    model = JobLog
    serializer_class = JobLogPageSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.LOGS_VIEW,
        "download": Permission.LOGS_VIEW,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"download": HEAVY}

    @extend_schema(operation_id="jobs_logs_list", parameters=[_JOB_ID, JobLogQuerySerializer])
    def list(self, request: Request, job_id: str) -> HttpResponseBase:
        """List a job's log lines, oldest first; with `wait`, answer when there is a line or the job has ended."""
        query = JobLogQuerySerializer.parse(request.query_params)
        job = get_job(UUID(job_id))
        page = _read(job, query)
        has_answer = page.lines or job.is_terminal or not query.validated_data["wait"]
        if not has_answer:
            # The wait happens in the stream: this request's transaction ends before it begins.
            headers = {"Retry-After": "1", "Cache-Control": "private, no-store"}
            return StreamingHttpResponse(_wait(job, query, request), headers=headers, content_type="application/json")
        tag = etag_of(f"{job.id}:{job.state}:{page.mark}")
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if tag in parse_etags(request.headers.get("If-None-Match", "")):
            return HttpResponseNotModified(headers=headers)
        answer: HttpResponseBase = Response(_answer(job, page, request), headers=headers)
        return answer

    @extend_schema(
        operation_id="jobs_logs_download",
        parameters=[_JOB_ID, JobLogTextQuerySerializer],
        responses={(200, "text/plain"): OpenApiResponse(str, description="One text line per log line, oldest first.")},
    )
    def download(self, request: Request, job_id: str) -> HttpResponseBase:
        """Download a job's whole log as text."""
        query = JobLogTextQuerySerializer.parse(request.query_params)
        job = get_job(UUID(job_id))
        before_page = partial(require_still_authorized, self.django_request, Permission.LOGS_VIEW)
        lines = stream_log(job, level=query.least_level, before_page=before_page)
        headers = {
            "Content-Disposition": f'attachment; filename="job-{job.id}.log"',
            "Cache-Control": "private, no-store",
        }
        return StreamingHttpResponse(lines, headers=headers, content_type="text/plain; charset=utf-8")


def _read(job: Job, query: JobLogQuerySerializer) -> LogPage:
    values = query.validated_data
    return read_log(job, after=values["after"], level=query.least_level, limit=values["limit"])


def _answer(job: Job, page: LogPage, request: Request) -> dict[str, Any]:
    following = None
    if page.lines:
        parameters = request.query_params.copy()
        parameters["after"] = str(page.lines[-1].id)
        following = f"{reverse('job-logs', args=[job.id], request=request)}?{parameters.urlencode()}"
    return dict(
        JobLogPageSerializer(
            {
                "next": following,
                "results": page.lines,
                "dropped": page.dropped_lines,
                "job_state": job.state,
                "is_final": job.is_terminal and not page.has_more,
            }
        ).data
    )


def _wait(job: Job, query: JobLogQuerySerializer, request: Request) -> Iterator[bytes]:
    """Yield the answer as one chunk, once there are lines, the job has ended, or the wait is over."""
    page = LogPage([], has_more=False, dropped_lines=0)
    if places.acquire(blocking=False):
        try:
            job, page = _watch(job, query, request)
        finally:
            places.release()
    yield JSONRenderer().render(_answer(job, page, request))


def _watch(job: Job, query: JobLogQuerySerializer, request: Request) -> tuple[Job, LogPage]:
    """Poll until there are lines, each time in a separate transaction; hold no connection in between."""
    give_up_at = time.monotonic() + query.validated_data["wait"]
    pause, page = FIRST_PAUSE_SECONDS, LogPage([], has_more=False, dropped_lines=0)
    release_resources(request)
    while (left := give_up_at - time.monotonic()) > 0 and not page.lines and not job.is_terminal:
        time.sleep(min(pause, left))
        pause = min(2 * pause, LAST_PAUSE_SECONDS)
        with polling_turn():
            try:
                if not is_still_authorized(request, Permission.LOGS_VIEW):
                    break
                with tenant_context(job.tenant_id):
                    job = get_job(job.id)
                    page = _read(job, query)
            except (OperationalError, InterfaceError, JobNotFoundError):
                break
    return job, page
