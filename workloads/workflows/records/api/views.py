"""Serializers and API views of `workflow-runs/`: runs, their nodes, and records of runs executed outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.input import MomentField, StrictSerializer
from tenants.api.pagination import OldestFirstPagination, PagingOnly
from tenants.api.viewsets import UUID_PATTERN, TenantViewSet
from tenants.api.walked_pages import WalkedPagination
from tenants.limits.declared import LIST
from workloads.workflows.records.api.records import RecordAnswerSerializer, RecordSerializer
from workloads.workflows.records.models import HEAVY_FIELDS, WorkflowRun
from workloads.workflows.records.offloading import StoredValue, value_of
from workloads.workflows.records.queries import (
    RunFilter,
    find_nodes,
    find_runs,
    get_node,
    get_run,
    scan_runs,
)
from workloads.workflows.records.records import SHOWN_STATES
from workloads.workflows.records.service import reveal_run, submit_record


class RunErrorSerializer(serializers.Serializer[Any]):
    """Why a run or node has failed, or why its last attempt has failed."""

    code = serializers.CharField()
    message = serializers.CharField()


class ValueSerializer(serializers.Serializer[Any]):
    """The size and the keys of a value; for callers with `jobs.reveal` also its content."""

    size_bytes = serializers.IntegerField(help_text="Size of its JSON.")
    keys = serializers.ListField(child=serializers.CharField(), help_text="The top-level keys, if they are known.")
    is_preview = serializers.BooleanField(help_text="Whether `preview` replaces a larger value.")
    content = serializers.JSONField(allow_null=True, help_text="The whole value; null for a preview, or if masked.")
    preview = serializers.CharField(help_text="The beginning of the JSON of a large value; empty otherwise.")


@extend_schema_field(ValueSerializer(allow_null=True))
class ValueField(serializers.Field[Any, Any, Any, Any]):
    """Serializer field for the ``inputs`` or ``outputs`` of a row; null if they are not set.

    In the serializer's context, ``reveals`` says whether the content is shown, ``reads_whole`` whether a large value is
    read from the file storage.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(read_only=True, source="*", **options)

    def to_representation(self, row: Any) -> dict[str, Any] | None:
        value = value_of(row, str(self.field_name))
        if value is None:
            return None
        reveals = bool(self.context.get("reveals"))
        return describe_value(value, reveals=reveals, reads_whole=bool(self.context.get("reads_whole")))


def describe_value(value: StoredValue, *, reveals: bool, reads_whole: bool = False) -> dict[str, Any]:
    """Return a value as the API shows it: with its content if ``reveals``, else only its size and keys."""
    content = value.read_or_preview() if reveals and reads_whole else value.content
    is_preview = isinstance(content, str)
    return {
        "size_bytes": value.size_bytes,
        "keys": sorted(content) if isinstance(content, dict) else [],
        "is_preview": is_preview,
        "content": content if reveals and not is_preview else None,
        "preview": content if reveals and is_preview else "",
    }


class RunWorkflowSerializer(serializers.Serializer[Any]):
    """The workflow of a run, with its version."""

    id = serializers.UUIDField(source="workflow_id")
    version = serializers.IntegerField(source="workflow_version")
    name = serializers.CharField(source="workflow_name")


class WorkflowRunSummarySerializer(serializers.Serializer[Any]):
    """A run as lists show it, without its values and its graph."""

    id = serializers.UUIDField()
    workflow = RunWorkflowSerializer(source="*")
    job = serializers.UUIDField(source="job_id")
    state = serializers.ChoiceField(choices=SHOWN_STATES, source="shown_state")
    version = serializers.IntegerField(help_text="Incremented with each change of the run.")
    is_external = serializers.BooleanField(help_text="Whether the run was recorded outside the platform.")
    replay_of = serializers.UUIDField(allow_null=True, help_text="The run that this one replays.")
    error = serializers.SerializerMethodField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    elapsed_seconds = serializers.FloatField(allow_null=True)
    total_tokens = serializers.IntegerField()
    total_cost = serializers.DecimalField(
        max_digits=24, decimal_places=12, allow_null=True, help_text="Of models; null: no price is known."
    )
    total_steps = serializers.IntegerField()

    @extend_schema_field(RunErrorSerializer(allow_null=True))
    def get_error(self, run: Any) -> dict[str, str] | None:
        if not run.shown_error_code:
            return None
        return {"code": run.shown_error_code, "message": run.shown_error_message}


class WorkflowRunSerializer(WorkflowRunSummarySerializer):
    """A run with its values and its graph."""

    inputs = ValueField()
    outputs = ValueField()
    graph = serializers.DictField(
        allow_null=True,
        help_text="The executed graph: `nodes` with id, type, title and, inside an iteration, its `parent`; `edges`.",
    )


class NodeRunSerializer(serializers.Serializer[Any]):
    """One node of a run. `path` holds the indexes of the iterations around the node."""

    id = serializers.UUIDField()
    node = serializers.CharField(source="node_id")
    path = serializers.ListField(child=serializers.IntegerField())
    type = serializers.CharField(source="node_type")
    state = serializers.ChoiceField(choices=SHOWN_STATES, source="shown_state")
    version = serializers.IntegerField(help_text="Incremented with each change of the node.")
    run_version = serializers.IntegerField(help_text="The version of the run with which it was stored.")
    attempt = serializers.IntegerField()
    error = serializers.SerializerMethodField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    elapsed_seconds = serializers.FloatField(allow_null=True)
    tokens = serializers.IntegerField()
    inputs = ValueField()
    outputs = ValueField()

    @extend_schema_field(RunErrorSerializer(allow_null=True))
    def get_error(self, node: Any) -> dict[str, str] | None:
        return {"code": node.error_code, "message": node.error_message} if node.error_code else None


class RunQuerySerializer(StrictSerializer):
    """Query parameters that filter the list of runs."""

    state = serializers.ChoiceField(choices=SHOWN_STATES, required=False)
    workflow = serializers.UUIDField(required=False)
    job = serializers.UUIDField(required=False)
    created_after = MomentField(required=False, help_text="Inclusive.")
    created_before = MomentField(required=False, help_text="Exclusive.")

    def to_filter(self) -> RunFilter:
        """Return the validated parameters as a `RunFilter`."""
        values = self.validated_data
        return RunFilter(
            states=(values["state"],) if "state" in values else (),
            workflow_id=values.get("workflow"),
            job_id=values.get("job"),
            created_after=values.get("created_after"),
            created_before=values.get("created_before"),
        )


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
