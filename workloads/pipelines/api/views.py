"""API views of `pipelines/`, their versions, `pipeline-runs/` and `entities/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.pagination import PagingOnly, TenantCursorPagination
from tenants.api.viewsets import TenantViewSet
from tenants.limits.declared import LIST
from workloads.pipelines.api.serializers import (
    EntityRetrySerializer,
    NewPipelineRunSerializer,
    NewPipelineSerializer,
    NewPipelineVersionSerializer,
    PipelineChangesSerializer,
    PipelineEntityQuerySerializer,
    PipelineEntitySerializer,
    PipelineRunQuerySerializer,
    PipelineRunSerializer,
    PipelineSerializer,
    PipelineVersionSerializer,
    PipelineVersionSummarySerializer,
)
from workloads.pipelines.definition import SCHEMA
from workloads.pipelines.models import Pipeline, PipelineEntity, PipelineRun, PipelineVersion
from workloads.pipelines.queries import (
    find_entities,
    find_runs,
    find_versions,
    get_entity,
    get_pipeline,
    get_run,
    get_version,
)
from workloads.pipelines.runs import retry_entity, start_run
from workloads.pipelines.service import create_pipeline, delete_pipeline, save_version, update_pipeline

_PAGING = frozenset({"limit", "cursor"})


class ByPosition(TenantCursorPagination):
    """Cursor pagination of one run's entities, in the order of their sources."""

    ordering = "position"


class PipelineViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Pipelines: definitions by which files, pages and texts become searchable chunks."""

    model = Pipeline
    serializer_class = PipelineSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.PIPELINES_VIEW,
        "retrieve": Permission.PIPELINES_VIEW,
        "definition_schema": Permission.PIPELINES_VIEW,
        "create": Permission.PIPELINES_MANAGE,
        "partial_update": Permission.PIPELINES_MANAGE,
        "destroy": Permission.PIPELINES_MANAGE,
        "runs": Permission.PIPELINES_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    @extend_schema(operation_id="pipelines_create", request=NewPipelineSerializer, responses={201: PipelineSerializer})
    def create(self, request: Request) -> Response:
        """Create a pipeline. Its definition is saved as version 1."""
        body = NewPipelineSerializer.of(request.data)
        pipeline = create_pipeline(tenant=self.tenant, **body.validated_data)
        answer = _answer(get_pipeline(pipeline.pk), status=201)
        answer["Location"] = reverse("pipeline-detail", args=[pipeline.pk], request=request)
        return answer

    @extend_schema(operation_id="pipelines_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a pipeline without its definition, which belongs to its versions."""
        return _answer(get_pipeline(UUID(pk)))

    @extend_schema(operation_id="pipelines_update", request=PipelineChangesSerializer, responses=PipelineSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the name or description of a pipeline. Its definition is changed by saving a version."""
        pipeline = self.begin_edit(lambda: get_pipeline(UUID(pk)))
        body = PipelineChangesSerializer.of(request.data)
        return _answer(update_pipeline(pipeline_id=pipeline.pk, **body.validated_data))

    @extend_schema(operation_id="pipelines_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a pipeline with its versions and ended runs. The documents that it has loaded stay."""
        delete_pipeline(pipeline_id=self.begin_edit(lambda: get_pipeline(UUID(pk))).pk)
        return Response(status=204)

    @extend_schema(
        operation_id="pipelines_runs_create", request=NewPipelineRunSerializer, responses={202: PipelineRunSerializer}
    )
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def runs(self, request: Request, pk: str) -> Response:
        """Run a version of the pipeline as one job, over the sources in its definition or those in the request."""
        asked = NewPipelineRunSerializer.of(request.data).validated_data
        run = start_run(
            tenant=self.tenant,
            pipeline_id=UUID(pk),
            number=asked.get("version"),
            sources=asked.get("sources"),
            has_priority=asked["priority"],
            is_rate_limited=True,
        )
        location = reverse("pipeline-run-detail", args=[run.pk], request=request)
        return Response(PipelineRunSerializer(get_run(run.pk)).data, status=202, headers={"Location": location})

    @extend_schema(
        operation_id="pipelines_definition_schema", responses={200: OpenApiResponse(description="A JSON Schema.")}
    )
    @action(detail=False, url_path="definition-schema", filter_backends=[], pagination_class=None)
    def definition_schema(self, request: Request) -> Response:
        """Return the JSON Schema of definitions, for editors."""
        return Response(SCHEMA)


class PipelineVersionViewSet(TenantViewSet):
    """The versions of a pipeline's definition."""

    model = PipelineVersion
    serializer_class = PipelineVersionSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.PIPELINES_VIEW,
        "retrieve": Permission.PIPELINES_VIEW,
        "create": Permission.PIPELINES_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    @extend_schema(operation_id="pipelines_versions_list", responses=PipelineVersionSummarySerializer(many=True))
    def list(self, request: Request, pipeline_id: str) -> Response:
        """List the versions of a pipeline, newest first, without their definitions."""
        versions = self.filter_queryset(find_versions(UUID(pipeline_id)).defer("definition"))
        page = self.paginate_queryset(versions)
        return self.get_paginated_response(PipelineVersionSummarySerializer(page, many=True).data)

    @extend_schema(
        operation_id="pipelines_versions_create",
        request=NewPipelineVersionSerializer,
        responses={201: PipelineVersionSerializer},
    )
    def create(self, request: Request, pipeline_id: str) -> Response:
        """Save a definition as the next version. Runs that start later use it."""
        body = NewPipelineVersionSerializer.of(request.data)
        version = save_version(pipeline_id=UUID(pipeline_id), **body.validated_data)
        fresh = get_version(UUID(pipeline_id), version.number)
        location = reverse("pipeline-version", args=[pipeline_id, version.number], request=request)
        return Response(PipelineVersionSerializer(fresh).data, status=201, headers={"Location": location})

    @extend_schema(operation_id="pipelines_versions_retrieve", responses=PipelineVersionSerializer)
    def retrieve(self, request: Request, pipeline_id: str, number: str) -> Response:
        """Return a version with its definition."""
        return Response(PipelineVersionSerializer(get_version(UUID(pipeline_id), int(number))).data)


class PipelineRunViewSet(TenantViewSet):
    """Runs of pipelines and their progress."""

    model = PipelineRun
    serializer_class = PipelineRunSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.PIPELINES_VIEW,
        "retrieve": Permission.PIPELINES_VIEW,
        "entities": Permission.PIPELINES_VIEW,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"entities": LIST}
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(
        operation_id="pipeline_runs_list",
        parameters=[PipelineRunQuerySerializer],
        responses=PipelineRunSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List pipeline runs, newest first."""
        query = PipelineRunQuerySerializer.of(_asked(request))
        names = {"pipeline": "pipeline_id", "state": "shown_state"}
        wanted = {names[name]: value for name, value in query.validated_data.items()}
        page = self.paginate_queryset(find_runs().filter(**wanted))
        return self.get_paginated_response(PipelineRunSerializer(page, many=True).data)

    @extend_schema(operation_id="pipeline_runs_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a pipeline run."""
        return Response(PipelineRunSerializer(get_run(UUID(pk))).data)

    @extend_schema(
        operation_id="pipeline_runs_entities",
        parameters=[PipelineEntityQuerySerializer],
        responses=PipelineEntitySerializer(many=True),
    )
    @action(detail=True, pagination_class=ByPosition)
    def entities(self, request: Request, pk: str) -> Response:
        """List a run's entities in the order of its sources."""
        query = PipelineEntityQuerySerializer.of(_asked(request))
        entities = find_entities().filter(run_id=get_run(UUID(pk)).pk)
        if "state" in query.validated_data:
            entities = entities.filter(shown_state=query.validated_data["state"])
        page = self.paginate_queryset(entities)
        return self.get_paginated_response(PipelineEntitySerializer(page, many=True).data)


class PipelineEntityViewSet(TenantViewSet):
    """Entities: the single sources of runs."""

    model = PipelineEntity
    serializer_class = PipelineEntitySerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "retrieve": Permission.PIPELINES_VIEW,
        "retry": Permission.PIPELINES_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="entities_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return an entity of a pipeline run."""
        return Response(PipelineEntitySerializer(get_entity(UUID(pk))).data)

    @extend_schema(
        operation_id="entities_retry", request=EntityRetrySerializer, responses={202: PipelineEntitySerializer}
    )
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Retry an entity that is in error or was cancelled, in a new job. Other entities are not changed."""
        body = EntityRetrySerializer.of(request.data)
        retry_entity(entity_id=UUID(pk), reason=body.validated_data["reason"], is_rate_limited=True)
        return Response(PipelineEntitySerializer(get_entity(UUID(pk))).data, status=202)


def _answer(pipeline: Pipeline, *, status: int = 200) -> Response:
    return Response(PipelineSerializer(pipeline).data, status=status, headers=etag_headers(pipeline))


def _asked(request: Request) -> dict[str, Any]:
    """Return the query's parameters that are filters."""
    return {name: value for name, value in request.query_params.items() if name not in _PAGING}
