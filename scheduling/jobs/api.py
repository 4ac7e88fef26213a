"""`jobs/`: submit, read, cancel, suspend and retry jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponseBase, HttpResponseNotModified
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import PAGING_PARAMETERS, JobQuerySerializer, NoQuerySerializer, page_response
from scheduling.controls.api import OverrideControlsSerializer
from scheduling.controls.service import override_controls
from scheduling.execution.api import ExecutionSerializer
from scheduling.jobs.answers import (
    IDEMPOTENCY_HEADER,
    RATE_HEADERS,
    JobSerializer,
    JobSubmissionSerializer,
    StoredJobSerializer,
    add_job_count,
    add_rate_headers,
    includes_waiting,
    job_response,
    mask_validation_errors,
    new_job_response,
    parse_idempotency_key,
    read_request,
    show_job,
    submission_response,
    visible_values,
)
from scheduling.jobs.api_reads import (
    IF_NONE_MATCH,
    CachedJobResponse,
    JobEndQuerySerializer,
    JobWaitQuerySerializer,
    cache_response,
    find_cached_response,
    has_changed,
    has_ended,
    is_etag_current,
    job_etag,
)
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.history import ExecutionRecord, ended_executions_of, events_of, live_execution_of
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.queries import find_jobs, get_job, scan_jobs
from scheduling.jobs.retries import retry_job
from scheduling.jobs.reveals import reveal_payload
from scheduling.jobs.serializers import (
    CancellationSerializer,
    JobAnswerQuerySerializer,
    JobEventSerializer,
    JobSummarySerializer,
)
from scheduling.jobs.submission import submit_job
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.models import Job
from tenants.access.permissions import Permission
from tenants.api.pagination import OldestFirstPagination
from tenants.api.viewsets import TenantViewSet
from tenants.api.walked_pages import WalkedPagination
from tenants.encryption.error_texts import NOT_READABLE
from tenants.limits.declared import LIST, NOTHING
from tenants.requests.long_polls import LongPoll, has_long_polled, long_poll_response
from tenants.tenancy.serializers import NoBodySerializer

# Columns that lists do not show.
UNLISTED = ("payload", "payload_hash", "checkpoint", "result", "error_message")


class JobViewSet(TenantViewSet):
    """Jobs of a tenant; each is one unit of work."""

    model = Job
    serializer_class = JobSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "retrieve": Permission.JOBS_VIEW,
        "wait": Permission.JOBS_VIEW,
        "create": Permission.JOBS_SUBMIT,
        "cancel": Permission.JOBS_CANCEL,
        "suspend": Permission.JOBS_CANCEL,
        "resume": Permission.JOBS_CANCEL,
        "override_controls": Permission.CONTROLS_OVERRIDE,
        "retry": Permission.JOBS_RETRY,
        "events": Permission.JOBS_VIEW,
        "executions": Permission.JOBS_VIEW,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"create": NOTHING, "events": LIST, "executions": LIST}
    filter_backends: ClassVar[list[Any]] = []
    pagination_class = WalkedPagination

    @extend_schema(
        operation_id="jobs_list",
        parameters=[JobQuerySerializer, *PAGING_PARAMETERS],
        responses=JobSummarySerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List jobs, newest first."""
        job_filter = JobQuerySerializer.parse(request.query_params).to_filter()
        jobs = find_jobs(job_filter).select_related("queue", "tenant").defer(*UNLISTED)
        return page_response(self, jobs, JobSummarySerializer, walked=scan_jobs(job_filter))

    @extend_schema(
        operation_id="jobs_submit",
        request=JobSubmissionSerializer,
        parameters=[JobAnswerQuerySerializer, IDEMPOTENCY_HEADER, *RATE_HEADERS],
        responses={
            201: OpenApiResponse(StoredJobSerializer, description="Accepted."),
            200: OpenApiResponse(StoredJobSerializer, description="Already accepted under the same idempotency key."),
        },
    )
    def create(self, request: Request) -> Response:
        """Submit one job; the answer is the stored job, or with `Prefer: return=minimal` its `id` alone."""
        has_waiting = includes_waiting(request)
        key = parse_idempotency_key(request.headers.get("Idempotency-Key"))
        asked = read_request(request.data, key)
        # A refused submission rolls the request's transaction back, which contains nothing else.
        submission = submit_job(tenant=self.tenant, request=asked, is_rate_limited=True, has_savepoint=False)
        answer = submission_response(request, submission.job, created=submission.created, has_waiting=has_waiting)
        return add_rate_headers(add_job_count(answer, int(submission.created)), submission.rate)

    @extend_schema(
        operation_id="jobs_retrieve",
        parameters=[JobWaitQuerySerializer, IF_NONE_MATCH],
        responses={200: JobSerializer, 304: OpenApiResponse(description="Not changed since the given ETag.")},
    )
    def retrieve(self, request: Request, pk: str) -> HttpResponseBase:
        """Show one job; its result for callers with `jobs.results`, its payload for those with `jobs.reveal`.

        Reads of a payload by a platform admin are audited. With `wait`, the response is sent when the job has changed
        or ended, or when that time is over.
        """
        seconds = JobWaitQuerySerializer.parse(request.query_params).validated_data["wait"]
        if (ended := find_cached_response(self.access, UUID(pk), reveals=visible_values(self.access))) is not None:
            is_known = is_etag_current(request, ended.tag)
            return HttpResponseNotModified(headers=_headers(ended.tag)) if is_known else self._answer(ended)
        job = get_job(UUID(pk))
        headers = self._headers_of(job)
        is_known = is_etag_current(request, headers["ETag"])
        plain = self.django_request
        if seconds and not job.is_terminal and not has_long_polled(plain) and is_known is not False:
            return long_poll_response(plain, LongPoll(seconds, partial(has_changed, plain, job)))
        if is_known:
            return HttpResponseNotModified(headers=headers)
        return self._show(job, headers)

    @extend_schema(operation_id="jobs_wait", parameters=[JobEndQuerySerializer], responses=JobSerializer)
    @action(detail=True)
    def wait(self, request: Request, pk: str) -> HttpResponseBase:
        """Show one job once it has ended, or its current state when the time is over."""
        seconds = JobEndQuerySerializer.parse(request.query_params).validated_data["timeout"]
        if (ended := find_cached_response(self.access, UUID(pk), reveals=visible_values(self.access))) is not None:
            return self._answer(ended)
        job = get_job(UUID(pk))
        plain = self.django_request
        if seconds and not job.is_terminal and not has_long_polled(plain):
            return long_poll_response(plain, LongPoll(seconds, partial(has_ended, plain, job)))
        return self._show(job, self._headers_of(job))

    def _headers_of(self, job: Job) -> dict[str, str]:
        return _headers(job_etag(job, reveals=visible_values(self.access)))

    def _answer(self, ended: CachedJobResponse) -> HttpResponseBase:
        answer: HttpResponseBase = Response(ended.shown, headers=_headers(ended.tag))
        return answer

    def _show(self, job: Job, headers: dict[str, str]) -> HttpResponseBase:
        reveals = visible_values(self.access)
        if reveals == "everything" and self.access.platform_role is not None:
            job = reveal_payload(job_id=job.id, reason="Read over the API.").job
        ended = CachedJobResponse(headers["ETag"], show_job(job, reveals=reveals))
        if job.error_message == NOT_READABLE:
            # With the key, the answer is another one.
            unkept: HttpResponseBase = Response(ended.shown, headers={"Cache-Control": "no-store"})
            return unkept
        cache_response(self.access, job, ended, reveals=reveals)
        return self._answer(ended)

    @extend_schema(
        operation_id="jobs_cancel",
        request=CancellationSerializer,
        parameters=[JobAnswerQuerySerializer],
        responses={
            200: OpenApiResponse(StoredJobSerializer, description="Cancelled."),
            202: OpenApiResponse(
                StoredJobSerializer, description="The job is running and will stop at its next safe point."
            ),
        },
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Cancel a job: a waiting one at once, a running one at its next safe point."""
        has_waiting = includes_waiting(request)
        body = CancellationSerializer.of(request.data)
        job = cancel_job(job_id=UUID(pk), reason=body.validated_data["reason"])
        is_done = job.state == JobState.CANCELLED
        return job_response(request, job, has_waiting=has_waiting, status=200 if is_done else 202)

    @extend_schema(
        operation_id="jobs_retry",
        request=NoBodySerializer,
        parameters=[JobAnswerQuerySerializer],
        responses={
            200: OpenApiResponse(StoredJobSerializer, description="The job waited for its retry and is available now."),
            201: OpenApiResponse(StoredJobSerializer, description="The job had ended; this is a new job linked to it."),
        },
    )
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Run a job again: end the back-off of a job that waits for its retry, or repeat an ended job as a new job."""
        has_waiting = includes_waiting(request)
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        with mask_validation_errors(self.access):
            result = retry_job(job_id=UUID(pk))
        if result.is_new:
            return new_job_response(request, result.job, has_waiting=has_waiting)
        return job_response(request, result.job, has_waiting=has_waiting)

    @extend_schema(operation_id="jobs_suspend", request=CancellationSerializer, responses=StoredJobSerializer)
    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        """Suspend a waiting job until it is resumed."""
        return self._answer_to(request, suspend_job, pk)

    @extend_schema(operation_id="jobs_resume", request=CancellationSerializer, responses=StoredJobSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Make a suspended job available again."""
        return self._answer_to(request, resume_job, pk)

    @extend_schema(
        operation_id="jobs_override_controls", request=OverrideControlsSerializer, responses=StoredJobSerializer
    )
    @action(detail=True, methods=["post"], url_path="override-controls")
    def override_controls(self, request: Request, pk: str) -> Response:
        """Release a job that controls hold; it stays exempt from these controls."""
        reason = OverrideControlsSerializer.of(request.data).validated_data["reason"]
        return job_response(request, override_controls(job_id=UUID(pk), reason=reason), has_waiting=False)

    def _answer_to(self, request: Request, act: Callable[..., Job], pk: str) -> Response:
        reason = CancellationSerializer.of(request.data).validated_data["reason"]
        return job_response(request, act(job_id=UUID(pk), reason=reason), has_waiting=False)

    @extend_schema(
        operation_id="jobs_events_list", parameters=PAGING_PARAMETERS, responses=JobEventSerializer(many=True)
    )
    @action(detail=True, pagination_class=OldestFirstPagination)
    def events(self, request: Request, pk: str) -> Response:
        """List all events of a job, oldest first."""
        NoQuerySerializer.parse(request.query_params)
        return page_response(self, events_of(get_job(UUID(pk))), JobEventSerializer)

    @extend_schema(
        operation_id="jobs_executions_list", parameters=PAGING_PARAMETERS, responses=ExecutionSerializer(many=True)
    )
    @action(detail=True)
    def executions(self, request: Request, pk: str) -> Response:
        """List a job's executions, newest first; one in flight is the first entry of the first page."""
        NoQuerySerializer.parse(request.query_params)
        job = get_job(UUID(pk))
        live = None if "cursor" in request.query_params else live_execution_of(job)
        ended = self.paginate_queryset(ended_executions_of(job).defer("traceback"))
        records = [ExecutionRecord.of_ended(row) for row in ended or []]
        rows = [live, *records] if live else records
        return self.get_paginated_response(ExecutionSerializer(rows, many=True).data)


def _headers(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "private, no-cache"}
