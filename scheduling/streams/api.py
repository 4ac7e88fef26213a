"""API of `jobs/stream/` and `jobs/{id}/stream/`: the events of jobs as server-sent events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from scheduling.api.filters import NoQuerySerializer
from scheduling.jobs.output import may_read_output
from scheduling.jobs.queries import get_job
from scheduling.models import JobEvent
from scheduling.streams.feed import feed
from scheduling.streams.responses import LAST_EVENT_ID, read_position, require_streams, stream_response
from scheduling.streams.subscriptions import StreamSubscription
from tenants.access.permissions import Permission
from tenants.access.sessions import EVENT_STREAM
from tenants.api.viewsets import TenantViewSet, Unpaged

_JOB_ID = OpenApiParameter("job_id", UUID, OpenApiParameter.PATH)
_LAST_EVENT_ID = OpenApiParameter(
    LAST_EVENT_ID,
    str,
    OpenApiParameter.HEADER,
    description="Id of the last received event; the stream continues after it.",
)
_STREAM = {
    (200, EVENT_STREAM): OpenApiResponse(
        str, description="Server-sent events; each has an id to resume after, and the fields of a job's event as data."
    )
}


class EventStreamRenderer(JSONRenderer):
    """Renderer that lets the view accept requests for `text/event-stream`; it only renders errors, as JSON."""

    media_type = EVENT_STREAM
    format = "event-stream"


class EventStreamViewSet(Unpaged, TenantViewSet):
    """Streams of the events of a tenant's jobs, or of one job."""

    model = JobEvent
    renderer_classes: ClassVar[list[type[BaseRenderer]]] = [JSONRenderer, EventStreamRenderer]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "of_tenant": Permission.JOBS_VIEW,
        "of_job": Permission.JOBS_VIEW,
    }

    @extend_schema(operation_id="jobs_stream", parameters=[_LAST_EVENT_ID], responses=_STREAM)
    def of_tenant(self, request: Request) -> HttpResponseBase:
        """Stream the events of the tenant's jobs, from now on or from after `Last-Event-ID`."""
        return self._stream(request, self.tenant.pk)

    @extend_schema(operation_id="jobs_stream_of_job", parameters=[_JOB_ID, _LAST_EVENT_ID], responses=_STREAM)
    def of_job(self, request: Request, job_id: str) -> HttpResponseBase:
        """Stream the past and future events of a job until it has ended.

        Events `job.output` with text that the job streams are for callers with `jobs.results`.
        """
        job = get_job(UUID(job_id))
        return self._stream(
            request,
            job.tenant_id,
            job_id=job.id,
            has_ended=job.is_terminal,
            reads_output=may_read_output(self.access),
        )

    def _stream(self, request: Request, tenant_id: UUID, **options: Any) -> HttpResponseBase:
        NoQuerySerializer.parse(request.query_params)
        plain = self.django_request
        after = read_position(plain)
        require_streams(plain)
        subscription = StreamSubscription(plain, Permission.JOBS_VIEW, tenant_id=tenant_id, after=after, **options)
        return stream_response(feed, subscription)
