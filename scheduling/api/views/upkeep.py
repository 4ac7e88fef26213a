"""`upkeep/`: tasks of the platform and their last runs; `upkeep-runs/`: runs of tasks over the tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from scheduling.api.filters import NoQuerySerializer
from scheduling.api.serializers.upkeep import RunTaskSerializer, TenantRunSerializer, UpkeepTaskSerializer
from scheduling.models import TenantUpkeepRun, UpkeepRun
from scheduling.services.upkeep.runs import request_upkeep
from scheduling.services.upkeep.status import find_line, read_upkeep
from scheduling.services.upkeep.tenant_runs import request_tenant_run
from tenants.api.pagination import PagingOnly
from tenants.api.serializers import NoBodySerializer
from tenants.api.viewsets import StaffViewSet, TenantViewSet
from tenants.permissions import Permission
from tenants.request_costs import HEAVY


class UpkeepViewSet(StaffViewSet):
    """Tasks that beat runs for the platform itself."""

    model = UpkeepRun
    serializer_class = UpkeepTaskSerializer
    filter_backends: ClassVar[list[Any]] = []
    lookup_field = "name"
    lookup_value_regex = "[-a-z0-9_]{1,64}"
    permissions = {
        "list": Permission.PLATFORM_VIEW,
        "retrieve": Permission.PLATFORM_VIEW,
        "run": Permission.UPKEEP_RUN,
    }

    @extend_schema(operation_id="upkeep_list", responses=UpkeepTaskSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all tasks with their last runs."""
        NoQuerySerializer.parse(request.query_params)
        lines = UpkeepTaskSerializer(read_upkeep(), many=True).data
        return Response({"next": None, "previous": None, "results": lines})

    @extend_schema(operation_id="upkeep_retrieve")
    def retrieve(self, request: Request, name: str) -> Response:
        """Show one task with its last run."""
        return Response(UpkeepTaskSerializer(find_line(name)).data)

    @extend_schema(
        operation_id="upkeep_run",
        request=NoBodySerializer,
        responses={202: OpenApiResponse(UpkeepTaskSerializer, description="A worker was asked to run it.")},
    )
    @action(detail=True, methods=["post"])
    def run(self, request: Request, name: str) -> Response:
        """Ask the maintenance pool to run a task now, besides what beat asks for."""
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        request_upkeep(name=name)
        return Response(UpkeepTaskSerializer(find_line(name)).data, status=202)


class TenantRunViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Runs of upkeep tasks over the tenant, newest first."""

    model = TenantUpkeepRun
    serializer_class = TenantRunSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.AUDIT_VIEW,
        "retrieve": Permission.AUDIT_VIEW,
        "create": Permission.AUDIT_VIEW,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"create": HEAVY}

    @extend_schema(
        operation_id="upkeep_runs_create",
        request=RunTaskSerializer,
        responses={
            202: OpenApiResponse(TenantRunSerializer, "A worker was asked to run it."),
            200: OpenApiResponse(TenantRunSerializer, "The run that is open already."),
        },
    )
    def create(self, request: Request) -> Response:
        """Request a run over the tenant. Ask its address until `is_open` is false."""
        asked = RunTaskSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        requested = request_tenant_run(name=asked.validated_data["task"], tenant=self.tenant)
        answer = Response(self.get_serializer(requested.run).data, status=202 if requested.is_new else 200)
        answer["Location"] = reverse("upkeep-run-detail", args=[requested.run.pk], request=request)
        return answer
