"""API views of `workflow-runs/`: runs, their nodes, and records of runs executed outside the platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.pagination import OldestFirstPagination, PagingOnly
from tenants.api.viewsets import UUID_PATTERN, TenantViewSet
from tenants.api.walked_pages import WalkedPagination
from tenants.limits.declared import LIST
from workloads.workflows.records.api.records import RecordAnswerSerializer, RecordSerializer
from workloads.workflows.records.api.serializers import (
    NodeRunSerializer,
    RunQuerySerializer,
    WorkflowRunSerializer,
    WorkflowRunSummarySerializer,
)
from workloads.workflows.records.models import WorkflowRun
from workloads.workflows.records.queries import HEAVY_FIELDS, find_nodes, find_runs, get_node, get_run, scan_runs
from workloads.workflows.records.service import reveal_run, submit_record

_PAGING = frozenset({"limit", "cursor"})


class WorkflowRunViewSet(TenantViewSet):
    """Runs of workflows, as recorded by the platform or by a client."""

    model = WorkflowRun
    serializer_class = WorkflowRunSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "retrieve": Permission.JOBS_VIEW,
        "nodes": Permission.JOBS_VIEW,
        "node": Permission.JOBS_VIEW,
        "records": Permission.JOBS_SUBMIT,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"nodes": LIST}
    filter_backends: ClassVar[list[Any]] = []
    pagination_class = WalkedPagination

    @extend_schema(
        operation_id="workflow_runs_list",
        parameters=[RunQuerySerializer],
        responses=WorkflowRunSummarySerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List workflow runs, newest first."""
        asked = {name: value for name, value in request.query_params.items() if name not in _PAGING}
        query = RunQuerySerializer.of(asked)
        run_filter = query.to_filter()
        assert isinstance(self.paginator, WalkedPagination)  # named above
        self.paginator.walked = scan_runs(run_filter)
        page = self.paginate_queryset(find_runs(run_filter).defer(*HEAVY_FIELDS))
        return self.get_paginated_response(WorkflowRunSummarySerializer(page, many=True).data)

    @extend_schema(operation_id="workflow_runs_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return one run, with its whole values for callers with `jobs.reveal`.

        Each read of values by platform staff is audited.
        """
        context = self._reveal(UUID(pk))
        return Response(WorkflowRunSerializer(get_run(UUID(pk)), context={**context, "reads_whole": True}).data)

    @extend_schema(operation_id="workflow_runs_nodes_list", responses=NodeRunSerializer(many=True))
    @action(detail=True, pagination_class=OldestFirstPagination, filter_backends=[PagingOnly])
    def nodes(self, request: Request, pk: str) -> Response:
        """List the nodes of a run in the order in which they started. Of large values only the beginning is shown."""
        context = self._reveal(UUID(pk))
        page = self.paginate_queryset(self.filter_queryset(find_nodes(get_run(UUID(pk)).pk)))
        return self.get_paginated_response(NodeRunSerializer(page, many=True, context=context).data)

    @extend_schema(operation_id="workflow_runs_nodes_retrieve", responses=NodeRunSerializer)
    @action(detail=True, url_path=f"nodes/(?P<node_run_id>{UUID_PATTERN})", pagination_class=None)
    def node(self, request: Request, pk: str, node_run_id: str) -> Response:
        """Return one node of a run, with its whole values for callers with `jobs.reveal`."""
        context = self._reveal(UUID(pk))
        node = get_node(UUID(pk), UUID(node_run_id))
        return Response(NodeRunSerializer(node, context={**context, "reads_whole": True}).data)

    @extend_schema(
        operation_id="workflow_runs_records_create", request=RecordSerializer, responses={202: RecordAnswerSerializer}
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def records(self, request: Request) -> Response:
        """Submit a job that stores the record of a run executed outside the platform.

        The record with the highest version is kept, whatever the order of the requests.
        """
        body = RecordSerializer.of(request.data)
        job_id = submit_record(tenant=self.tenant, body=body.validated_data, is_rate_limited=True)
        answer = {"run": body.validated_data["run"]["id"], "job": job_id}
        return Response(RecordAnswerSerializer(answer).data, status=202)

    def _reveal(self, run_id: UUID) -> dict[str, Any]:
        """Return a serializer's context with ``reveals``; audit a read by a user of the platform."""
        reveals = self.access.may(Permission.JOBS_REVEAL)
        if reveals and self.access.platform_role is not None:
            reveal_run(run_id=run_id, reason="Read over the API.")
        return {"reveals": reveals}
