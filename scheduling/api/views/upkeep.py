"""`upkeep/`: what the platform does for itself, and how it went."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.api.serializers.upkeep import UpkeepTaskSerializer
from scheduling.models import UpkeepRun
from scheduling.services.upkeep.runs import request_upkeep
from scheduling.services.upkeep.status import find_line, read_upkeep
from tenants.api.serializers import NoBodySerializer
from tenants.api.viewsets import StaffViewSet
from tenants.permissions import Permission


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
