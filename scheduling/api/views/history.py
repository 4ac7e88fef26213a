"""`executions/{id}/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.serializers.executions import ExecutionDetailSerializer
from scheduling.models import LiveExecution
from scheduling.selectors.history import get_execution
from tenants.api.viewsets import TenantViewSet
from tenants.permissions import Permission


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
