"""`queues/`: the platform's own numbers and switches, for its staff alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.api.serializers.jobs import NoBodySerializer
from scheduling.api.serializers.queues import PauseReasonSerializer, QueueNumbersSerializer, QueueSerializer
from scheduling.models import Queue
from scheduling.selectors.overview import read_overview
from scheduling.selectors.queues import get_queue
from scheduling.services.suspension import pause_queue, resume_queue
from tenants.api.viewsets import StaffViewSet
from tenants.context import all_tenants
from tenants.permissions import Permission


class QueueViewSet(StaffViewSet):
    """Where jobs of all tenants wait."""

    model = Queue
    serializer_class = QueueSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.PLATFORM_VIEW,
        "retrieve": Permission.PLATFORM_VIEW,
        "pause": Permission.QUEUES_OPERATE,
        "resume": Permission.QUEUES_OPERATE,
    }
    filter_backends: ClassVar[list[Any]] = []
    lookup_field = "name"
    lookup_value_regex = "[-a-zA-Z0-9_]{1,60}"

    @extend_schema(operation_id="queues_list", responses=QueueNumbersSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all queues with their numbers."""
        NoQuerySerializer.parse(request.query_params)
        # Staff may have named a tenant for other calls; these numbers are everybody's.
        with all_tenants():
            lines = read_overview().queues
        return Response({"next": None, "previous": None, "results": QueueNumbersSerializer(lines, many=True).data})

    @extend_schema(operation_id="queues_retrieve")
    def retrieve(self, request: Request, name: str) -> Response:
        """Show a queue's settings."""
        return Response(QueueSerializer(get_queue(name)).data)

    @extend_schema(operation_id="queues_pause", request=PauseReasonSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, name: str) -> Response:
        """Dispatch nothing more from a queue; what runs goes on."""
        body = PauseReasonSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        queue = get_queue(name)
        pause_queue(queue=queue, reason=body.validated_data["reason"])
        return Response(QueueSerializer(queue).data)

    @extend_schema(operation_id="queues_resume", request=NoBodySerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, name: str) -> Response:
        """Dispatch from a queue again."""
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        queue = get_queue(name)
        resume_queue(queue=queue)
        return Response(QueueSerializer(queue).data)
