"""API views of `workflows/` and their versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import etag_headers
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.limits.declared import HEAVY, LIST, SEARCH
from tenants.versions.api import VersionsViewSetMixin, version_operations
from workloads.workflows.api.serializers import (
    CheckedSerializer,
    DefinitionSerializer,
    NewRunSerializer,
    NewVersionSerializer,
    NewWorkflowSerializer,
    RunAnswerSerializer,
    WorkflowChangesSerializer,
    WorkflowPreviewSerializer,
    WorkflowSerializer,
    WorkflowVersionSerializer,
    WorkflowVersionSummarySerializer,
)
from workloads.workflows.definition.schema import definition_schema
from workloads.workflows.exceptions import WorkflowDefinitionError, WorkflowVersionNotFoundError
from workloads.workflows.models import Workflow
from workloads.workflows.queries import get_version, get_workflow, list_versions
from workloads.workflows.runs import start_run
from workloads.workflows.service import (
    WORKFLOWS,
    add_version,
    check_definition,
    create_workflow,
    delete_workflow,
    update_workflow,
)

_NUMBER = OpenApiParameter("number", int, OpenApiParameter.PATH)
# The list of versions has a schema of its own.
_OPERATIONS = {name: operation for name, operation in version_operations("workflows").items() if name != "versions"}


@extend_schema_view(**_OPERATIONS)
class WorkflowViewSet(ListModelMixin, VersionsViewSetMixin, TenantViewSet):
    """Workflows: graphs of nodes that run as jobs."""

    model = Workflow
    serializer_class = WorkflowSerializer
    versioned = WORKFLOWS
    find = staticmethod(lambda pk: get_workflow(UUID(pk)))
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.WORKFLOWS_VIEW,
        "retrieve": Permission.WORKFLOWS_VIEW,
        "versions": Permission.WORKFLOWS_VIEW,
        "version": Permission.WORKFLOWS_VIEW,
        "describe_schema": Permission.WORKFLOWS_VIEW,
        "check": Permission.WORKFLOWS_VIEW,
        "create": Permission.WORKFLOWS_MANAGE,
        "partial_update": Permission.WORKFLOWS_MANAGE,
        "destroy": Permission.WORKFLOWS_MANAGE,
        "add_version": Permission.WORKFLOWS_MANAGE,
        "rollback": Permission.WORKFLOWS_MANAGE,
        "withdraw": Permission.WORKFLOWS_MANAGE,
        "preview": Permission.WORKFLOWS_VIEW,
        "runs": Permission.JOBS_SUBMIT,
    }
    request_costs: ClassVar[Mapping[str, int]] = {
        "check": HEAVY,
        "create": SEARCH,
        "add_version": SEARCH,
        "rollback": SEARCH,
        "preview": HEAVY,
        "versions": LIST,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    @extend_schema(operation_id="workflows_create", request=NewWorkflowSerializer, responses={201: WorkflowSerializer})
    def create(self, request: Request) -> Response:
        """Create a workflow with its first version. Answer 422 `definition_invalid` with the position of each fault."""
        body = NewWorkflowSerializer.of(request.data)
        return _answer(create_workflow(tenant=self.tenant, **body.validated_data), status=201)

    @extend_schema(operation_id="workflows_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a workflow without its definition, which belongs to its versions."""
        return _answer(get_workflow(UUID(pk)))

    @extend_schema(operation_id="workflows_update", request=WorkflowChangesSerializer, responses=WorkflowSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the name or the description of a workflow."""
        workflow = self.begin_edit(lambda: get_workflow(UUID(pk)))
        return _answer(update_workflow(workflow=workflow, **WorkflowChangesSerializer.of(request.data).validated_data))

    @extend_schema(operation_id="workflows_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a workflow with its versions. Answer 409 `workflow_in_use` while a run of it has not ended."""
        delete_workflow(workflow=self.begin_edit(lambda: get_workflow(UUID(pk))))
        return Response(status=204)

    @extend_schema(operation_id="workflows_versions_list", responses=WorkflowVersionSummarySerializer(many=True))
    @action(detail=True)
    def versions(self, request: Request, pk: str) -> Response:
        """List the versions of a workflow, newest first."""
        rows = self.filter_queryset(list_versions(get_workflow(UUID(pk))))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(WorkflowVersionSummarySerializer(page, many=True).data)

    @extend_schema(
        operation_id="workflows_versions_create",
        request=NewVersionSerializer,
        responses={201: WorkflowVersionSerializer},
    )
    @versions.mapping.post
    def add_version(self, request: Request, pk: str) -> Response:
        """Store the next version. It takes effect now or at a given time; open runs keep their version."""
        workflow = get_workflow(UUID(pk))
        body = NewVersionSerializer.of(request.data)
        version = add_version(workflow=workflow, **body.validated_data)
        return Response(WorkflowVersionSerializer(version).data, status=201)

    @extend_schema(
        operation_id="workflows_versions_retrieve", parameters=[_NUMBER], responses=WorkflowVersionSerializer
    )
    @action(detail=True, url_path="versions/(?P<number>[0-9]{1,9})", filter_backends=[], pagination_class=None)
    def version(self, request: Request, pk: str, number: str) -> Response:
        """Return one version of a workflow with its definition."""
        version = get_version(get_workflow(UUID(pk)).pk, int(number))
        if version is None:
            raise WorkflowVersionNotFoundError
        return Response(WorkflowVersionSerializer(version).data)

    @extend_schema(operation_id="workflows_preview", request=DefinitionSerializer, responses=WorkflowPreviewSerializer)
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def preview(self, request: Request, pk: str) -> Response:
        """Compare a definition with the version in effect, without storing it."""
        definition = DefinitionSerializer.of(request.data).validated_data["definition"]
        preview = WORKFLOWS.preview(get_workflow(UUID(pk)), definition)
        answer = {
            "is_valid": not preview.faults,
            # The fault of a definition that is too large has no place.
            "faults": [{"pointer": "", **fault} for fault in preview.faults],
            "before": preview.difference.before,
            "after": preview.difference.after,
            "runs": {str(number): count for number, count in preview.effects["runs"].items()},
        }
        return Response(WorkflowPreviewSerializer(answer).data)

    @extend_schema(operation_id="workflows_runs_create", request=NewRunSerializer, responses={201: RunAnswerSerializer})
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def runs(self, request: Request, pk: str) -> Response:
        """Submit a run of a workflow, pinned to one version. Answer 422 `inputs_invalid` with each invalid input."""
        workflow = get_workflow(UUID(pk))
        body = NewRunSerializer.of(request.data)
        submission = start_run(tenant=self.tenant, workflow=workflow, is_rate_limited=True, **body.validated_data)
        job = submission.job
        version = job.payload["version"]
        answer = {"run": job.pk, "job": job.pk, "workflow": workflow.pk, "version": version}
        return Response(RunAnswerSerializer(answer).data, status=201)

    @extend_schema(operation_id="workflows_schema_retrieve", responses=OpenApiTypes.OBJECT)
    @action(detail=False, url_path="schema", filter_backends=[], pagination_class=None)
    def describe_schema(self, request: Request) -> Response:
        """Return the JSON Schema of definitions, for editors."""
        return Response(definition_schema())

    @extend_schema(operation_id="workflows_check", request=DefinitionSerializer, responses=CheckedSerializer)
    @action(detail=False, methods=["post"], filter_backends=[], pagination_class=None)
    def check(self, request: Request) -> Response:
        """Check a definition without storing it."""
        body = DefinitionSerializer.of(request.data)
        try:
            check_definition(self.tenant, body.validated_data["definition"])
        except WorkflowDefinitionError as refusal:
            return Response(CheckedSerializer({"is_valid": False, "faults": refusal.errors}).data)
        return Response(CheckedSerializer({"is_valid": True, "faults": []}).data)


def _answer(workflow: Workflow, *, status: int = 200) -> Response:
    return Response(WorkflowSerializer(workflow).data, status=status, headers=etag_headers(workflow))
