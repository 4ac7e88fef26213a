"""`batches/` and `executions/{id}/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import PAGING_PARAMETERS, NoQuerySerializer
from scheduling.api.responses import page_response
from scheduling.api.serializers.executions import (
    BatchDetailSerializer,
    BatchSerializer,
    ExecutionDetailSerializer,
)
from scheduling.models import Batch, LiveExecution
from scheduling.selectors.batches import get_batch
from scheduling.selectors.history import get_execution
from tenants.api.viewsets import TenantViewSet
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
