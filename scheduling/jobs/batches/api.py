"""`batches/`: groups of jobs that are submitted, closed, watched and cancelled together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from scheduling.api.filters import PAGING_PARAMETERS, NoQuerySerializer, page_response
from scheduling.compensation.service import standing_of
from scheduling.jobs.answers import RATE_HEADERS, add_rate_headers
from scheduling.jobs.api import UNLISTED
from scheduling.jobs.batches.cancelling import cancel_batch
from scheduling.jobs.batches.queries import BatchError, count_states, get_batch, group_errors
from scheduling.jobs.batches.serializers import BatchCancellationSerializer, BatchCreationSerializer
from scheduling.jobs.batches.service import add_jobs, close_batch, open_batch
from scheduling.jobs.bulk_api import bulk_response, read_requests
from scheduling.jobs.bulk_requests import AddedJobsSerializer, BulkSubmissionResultSerializer, parse_bulk
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.queries import find_jobs, scan_jobs
from scheduling.jobs.serializers import JobSummarySerializer
from scheduling.limits.admission import check_bulk_size
from scheduling.models import Batch
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet
from tenants.api.walked_pages import WalkedPagination
from tenants.limits.declared import LIST
from tenants.requests.bodies import MAX_TEXT_BYTES
from tenants.tenancy.serializers import NoBodySerializer


class BatchSerializer(serializers.Serializer[Batch]):
    """Jobs that were submitted together."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    label = serializers.CharField()
    kind = serializers.CharField(help_text="Kind of its jobs; empty for several kinds.")
    # A string and no enumeration in the schema: other resources have fields of this name with other choices.
    state = serializers.CharField(
        help_text="`open`, `running` or `cancelling` until it has ended; then `completed`, `failed` or `cancelled`."
    )
    total = serializers.IntegerField()
    ended = serializers.IntegerField(help_text="Ended jobs; like the next three numbers, at most a second behind.")
    completed = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Discarded and quarantined.")
    cancelled = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True, help_text="When it was closed to further jobs.")
    ended_at = serializers.DateTimeField(allow_null=True)
    cancelled_at = serializers.DateTimeField(allow_null=True)


class BatchErrorSerializer(serializers.Serializer[BatchError]):
    """An error that several of a batch's jobs may share, with the number of these jobs."""

    type = serializers.CharField(source="error_type")
    fingerprint = serializers.CharField()
    message = serializers.CharField(help_text="Message of one of the jobs.")
    jobs = serializers.IntegerField()


class BatchCompletionSerializer(serializers.Serializer[Batch]):
    """What is submitted at a batch's end, and how far its submission is."""

    kind = serializers.SerializerMethodField()
    only_if_completed = serializers.BooleanField()
    due_at = serializers.DateTimeField(
        source="fire_at", allow_null=True, help_text="When the submission is due, or retried."
    )
    job = serializers.UUIDField(source="fired_job_id", allow_null=True, help_text="Set once it is submitted.")
    error = serializers.CharField(source="fire_error", help_text="Why it could not be submitted.")

    def get_kind(self, batch: Batch) -> str:
        return str((batch.on_completion or {}).get("kind", ""))


class BatchDetailSerializer(BatchSerializer):
    """A batch and the progress of its jobs; the jobs themselves are at `batches/{id}/jobs/`."""

    pruned = serializers.IntegerField(help_text="Ended jobs that were pruned.")
    cancel_reason = serializers.CharField()
    waiting_job = serializers.UUIDField(
        source="waiting_job_id", allow_null=True, help_text="The job that continues when the batch has ended."
    )
    on_completion = serializers.SerializerMethodField()
    compensation = serializers.SerializerMethodField(
        help_text="`compensating`, `needs_attention` or `compensated`; empty: there is nothing to compensate."
    )
    states = serializers.SerializerMethodField(help_text="Number of its jobs in each state.")
    errors = serializers.SerializerMethodField(help_text="Errors of its jobs, the most frequent first.")

    @extend_schema_field(BatchCompletionSerializer(allow_null=True))
    def get_on_completion(self, batch: Batch) -> Any:
        return None if batch.on_completion is None else BatchCompletionSerializer(batch).data

    def get_compensation(self, batch: Batch) -> str:
        return standing_of(batch.pk)[0] if batch.compensate else ""

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_states(self, batch: Batch) -> dict[str, int]:
        return count_states(batch)

    @extend_schema_field(BatchErrorSerializer(many=True))
    def get_errors(self, batch: Batch) -> Any:
        return BatchErrorSerializer(group_errors(batch), many=True).data if batch.failed else []


class BatchViewSet(TenantViewSet):
    """Batches of jobs that were submitted together."""

    model = Batch
    serializer_class = BatchDetailSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "retrieve": Permission.JOBS_VIEW,
        "jobs": Permission.JOBS_VIEW,
        "create": Permission.JOBS_SUBMIT,
        "add": Permission.JOBS_SUBMIT,
        "close": Permission.JOBS_SUBMIT,
        "cancel": Permission.JOBS_CANCEL,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"jobs": LIST}
    filter_backends: ClassVar[list[Any]] = []
    max_body_bytes = MAX_TEXT_BYTES  # a thousand jobs of eight KiB

    @extend_schema(operation_id="batches_list", parameters=PAGING_PARAMETERS, responses=BatchSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List batches, newest first."""
        NoQuerySerializer.parse(request.query_params)
        return page_response(self, self.get_queryset().select_related("tenant"), BatchSerializer)

    @extend_schema(
        operation_id="batches_create",
        request=BatchCreationSerializer,
        parameters=RATE_HEADERS,
        responses={201: OpenApiResponse(BatchDetailSerializer, description="Created, with all its jobs.")},
    )
    def create(self, request: Request) -> Response:
        """Create a batch with its first jobs; if one of the jobs is refused, nothing is created."""
        body = BatchCreationSerializer.of(request.data)
        requests = body.to_requests()
        check_bulk_size(tenant_id=self.tenant.pk, jobs=len(requests))
        batch, bulk = open_batch(
            tenant=self.tenant,
            label=body.validated_data["label"],
            requests=requests,
            on_completion=body.to_completion(),
            compensation=body.to_compensation(),
            closes=body.closes,
            is_rate_limited=True,
        )
        answer = Response(BatchDetailSerializer(batch).data, status=201)
        answer["Location"] = reverse("batch-detail", args=[batch.pk], request=request)
        return add_rate_headers(answer, bulk.rate)

    @extend_schema(operation_id="batches_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show a batch, the number of its jobs in each state, and their errors."""
        return Response(BatchDetailSerializer(get_batch(UUID(pk))).data)

    @extend_schema(
        operation_id="batches_jobs_list", parameters=PAGING_PARAMETERS, responses=JobSummarySerializer(many=True)
    )
    @action(detail=True, pagination_class=WalkedPagination)
    def jobs(self, request: Request, pk: str) -> Response:
        """List the jobs of a batch, newest first."""
        NoQuerySerializer.parse(request.query_params)
        of_batch = JobFilter.of(batch=get_batch(UUID(pk)).pk)
        jobs = find_jobs(of_batch).select_related("queue", "tenant").defer(*UNLISTED)
        return page_response(self, jobs, JobSummarySerializer, walked=scan_jobs(of_batch))

    @extend_schema(
        operation_id="batches_jobs_add",
        request=AddedJobsSerializer,
        parameters=RATE_HEADERS,
        responses={
            201: OpenApiResponse(
                BulkSubmissionResultSerializer, description="The accepted jobs, stored in one transaction."
            )
        },
    )
    @jobs.mapping.post
    def add(self, request: Request, pk: str) -> Response:
        """Submit up to 1,000 more jobs to an open batch; each is accepted or rejected separately."""
        jobs = parse_bulk(request.data)
        check_bulk_size(tenant_id=self.tenant.pk, jobs=len(jobs))
        requests, refused = read_requests(jobs)
        bulk = add_jobs(tenant=self.tenant, batch_id=UUID(pk), requests=[*requests.values()], is_rate_limited=True)
        return bulk_response(bulk, [*requests], refused)

    @extend_schema(operation_id="batches_close", request=NoBodySerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        """Close a batch: it accepts no more jobs, and ends with its last one."""
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        return Response(BatchDetailSerializer(close_batch(batch_id=UUID(pk))).data)

    @extend_schema(
        operation_id="batches_cancel",
        request=BatchCancellationSerializer,
        responses={202: OpenApiResponse(BatchDetailSerializer, description="Its jobs are being cancelled.")},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Close a batch and cancel its jobs: waiting ones within seconds, running ones at their next safe point."""
        body = BatchCancellationSerializer.of(request.data)
        batch = cancel_batch(batch_id=UUID(pk), reason=body.validated_data["reason"])
        return Response(BatchDetailSerializer(batch).data, status=202)
