"""`batches/`: jobs asked for together, filled, closed, followed and cancelled as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from scheduling.api.filters import PAGING_PARAMETERS, NoQuerySerializer
from scheduling.api.responses import RATE_HEADERS, page_response, with_rate
from scheduling.api.serializers.batches import (
    BatchCancellationSerializer,
    BatchCreationSerializer,
    BatchDetailSerializer,
    BatchSerializer,
)
from scheduling.api.serializers.jobs import JobSummarySerializer
from scheduling.api.serializers.submissions import AddedJobsSerializer, BulkSubmissionResultSerializer, parse_bulk
from scheduling.api.views.bulk import answer_bulk, read_requests
from scheduling.api.views.jobs import UNLISTED
from scheduling.filters import JobFilter
from scheduling.models import Batch
from scheduling.selectors.batches import get_batch
from scheduling.selectors.jobs import find_jobs, walked_jobs
from scheduling.services.batches.cancelling import cancel_batch
from scheduling.services.batches.making import add_jobs, close_batch, open_batch
from scheduling.services.quotas import check_bulk_size
from tenants.api.serializers import NoBodySerializer
from tenants.api.viewsets import TenantViewSet
from tenants.api.walked_pages import WalkedPagination
from tenants.bodies import MAX_TEXT_BYTES
from tenants.permissions import Permission
from tenants.request_costs import LIST


class BatchViewSet(TenantViewSet):
    """Jobs that were asked for together."""

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
        responses={201: OpenApiResponse(BatchDetailSerializer, description="Made, with all of its jobs.")},
    )
    def create(self, request: Request) -> Response:
        """Make a batch with its first jobs: all of them, or the refusal of one and nothing."""
        body = BatchCreationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        requests = body.to_requests()
        check_bulk_size(tenant_id=self.tenant.pk, jobs=len(requests))
        batch, bulk = open_batch(
            tenant=self.tenant,
            label=body.validated_data["label"],
            requests=requests,
            on_completion=body.to_completion(),
            closes=body.closes,
            is_rated=True,
        )
        answer = Response(BatchDetailSerializer(batch).data, status=201)
        answer["Location"] = reverse("batch-detail", args=[batch.pk], request=request)
        return with_rate(answer, bulk.rate)

    @extend_schema(operation_id="batches_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show a batch, how many of its jobs are in each state, and what they have failed by."""
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
        return page_response(self, jobs, JobSummarySerializer, walked=walked_jobs(of_batch))

    @extend_schema(
        operation_id="batches_jobs_add",
        request=AddedJobsSerializer,
        parameters=RATE_HEADERS,
        responses={
            201: OpenApiResponse(BulkSubmissionResultSerializer, description="What was accepted, in one transaction.")
        },
    )
    @jobs.mapping.post
    def add(self, request: Request, pk: str) -> Response:
        """Submit up to 1,000 more jobs under an open batch; each is accepted or rejected for itself."""
        jobs = parse_bulk(request.data)
        check_bulk_size(tenant_id=self.tenant.pk, jobs=len(jobs))
        requests, refused = read_requests(jobs)
        bulk = add_jobs(tenant=self.tenant, batch_id=UUID(pk), requests=[*requests.values()], is_rated=True)
        return answer_bulk(bulk, [*requests], refused)

    @extend_schema(operation_id="batches_close", request=NoBodySerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        """Take no more jobs: the batch ends with the last of those that it has."""
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        return Response(BatchDetailSerializer(close_batch(batch_id=UUID(pk))).data)

    @extend_schema(
        operation_id="batches_cancel",
        request=BatchCancellationSerializer,
        responses={202: OpenApiResponse(BatchDetailSerializer, description="Its jobs are being cancelled.")},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Close a batch and cancel its jobs: what waits within seconds, what runs at its next safe point."""
        body = BatchCancellationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        batch = cancel_batch(batch_id=UUID(pk), reason=body.validated_data["reason"])
        return Response(BatchDetailSerializer(batch).data, status=202)
