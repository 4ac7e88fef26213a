"""`batches/`, `executions/{id}/` and `dead-letters/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import PAGING_PARAMETERS, DeadLetterQuerySerializer, NoQuerySerializer
from scheduling.api.responses import new_job_response, page_response
from scheduling.api.serializers.executions import (
    BatchDetailSerializer,
    BatchSerializer,
    DeadLetterSerializer,
    ExecutionDetailSerializer,
)
from scheduling.api.serializers.jobs import JobSerializer, NoBodySerializer
from scheduling.models import Batch, DeadLetter, LiveExecution
from scheduling.selectors.batches import get_batch
from scheduling.selectors.dead_letters import find_dead_letters, get_dead_letter, walked_dead_letters
from scheduling.selectors.history import get_execution
from scheduling.services.dead_letters import requeue_dead_letter
from tenants.api.viewsets import TenantViewSet
from tenants.api.walked_pages import WalkedPagination
from tenants.permissions import Permission


class BatchViewSet(TenantViewSet):
    """Jobs that were asked for together."""

    model = Batch
    serializer_class = BatchDetailSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"list": Permission.JOBS_VIEW, "retrieve": Permission.JOBS_VIEW}
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="batches_list", parameters=PAGING_PARAMETERS, responses=BatchSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List batches, newest first."""
        NoQuerySerializer.parse(request.query_params)
        return page_response(self, self.get_queryset().select_related("tenant"), BatchSerializer)

    @extend_schema(operation_id="batches_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show a batch and how many of its jobs are in each state."""
        return Response(BatchDetailSerializer(get_batch(UUID(pk))).data)


class ExecutionViewSet(TenantViewSet):
    """Hand-outs of jobs to workers; a job's own are listed at `jobs/{id}/executions/`."""

    model = LiveExecution
    serializer_class = ExecutionDetailSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"retrieve": Permission.LOGS_VIEW}
    pagination_class = None
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="executions_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show one execution with its traceback."""
        return Response(ExecutionDetailSerializer(get_execution(UUID(pk))).data)


class DeadLetterViewSet(TenantViewSet):
    """Jobs that will not run again by themselves."""

    model = DeadLetter
    serializer_class = DeadLetterSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "retrieve": Permission.JOBS_VIEW,
        "requeue": Permission.JOBS_RETRY,
    }
    filter_backends: ClassVar[list[Any]] = []
    pagination_class = WalkedPagination

    @extend_schema(
        operation_id="dead_letters_list",
        parameters=[DeadLetterQuerySerializer, *PAGING_PARAMETERS],
        responses=DeadLetterSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List dead letters, newest first."""
        letter_filter = DeadLetterQuerySerializer.parse(request.query_params).to_filter()
        # Apart, since a planner that expects few letters joins the tenants before it sorts.
        letters = find_dead_letters(letter_filter).prefetch_related("tenant")
        return page_response(self, letters, DeadLetterSerializer, walked=walked_dead_letters(letter_filter))

    @extend_schema(operation_id="dead_letters_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show one dead letter."""
        return Response(DeadLetterSerializer(get_dead_letter(UUID(pk))).data)

    @extend_schema(
        operation_id="dead_letters_requeue",
        request=NoBodySerializer,
        responses={201: OpenApiResponse(JobSerializer, description="A new job, linked to the one that died.")},
    )
    @action(detail=True, methods=["post"])
    def requeue(self, request: Request, pk: str) -> Response:
        """Submit the job anew, linked to the one that died."""
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        return new_job_response(request, requeue_dead_letter(dead_letter_id=UUID(pk)))
