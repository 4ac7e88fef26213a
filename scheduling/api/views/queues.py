"""`queues/`: the platform's own numbers and switches, for its staff alone."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.api.serializers.queues import NewQueueSerializer, QueueNumbersSerializer, QueueSerializer
from scheduling.api.serializers.stops import StopRequestSerializer
from scheduling.api.views.stops import OPERATE, StoppableViewSet
from scheduling.models import Queue
from scheduling.selectors.queue_lines import read_queue_lines
from scheduling.selectors.queues import get_queue
from scheduling.services.stops import Scope
from scheduling.services.topology import create_queue
from tenants.api.serializers import WhySerializer
from tenants.context import all_tenants
from tenants.permissions import Permission


@extend_schema_view(
    pause=extend_schema(operation_id="queues_pause", request=StopRequestSerializer, responses=QueueSerializer),
    resume=extend_schema(operation_id="queues_resume", request=WhySerializer, responses=QueueSerializer),
    drain=extend_schema(operation_id="queues_drain", request=StopRequestSerializer, responses=QueueSerializer),
)
class QueueViewSet(StoppableViewSet):
    """Where jobs of all tenants wait."""

    model = Queue
    scope = Scope.QUEUE
    permissions = {**OPERATE, "create": Permission.FAIRNESS_MANAGE}
    serializer_class = QueueSerializer
    lookup_value_regex = "[-a-zA-Z0-9_]{1,60}"

    @extend_schema(operation_id="queues_list", responses=QueueNumbersSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all queues with their numbers."""
        NoQuerySerializer.parse(request.query_params)
        # Staff may have named a tenant for other calls; these numbers are everybody's.
        with all_tenants():
            lines = read_queue_lines()
        return Response({"next": None, "previous": None, "results": QueueNumbersSerializer(lines, many=True).data})

    @extend_schema(operation_id="queues_create", request=NewQueueSerializer, responses={201: QueueSerializer})
    def create(self, request: Request) -> Response:
        """Add a queue to a pool; its workers read it from their next heartbeat on."""
        body = NewQueueSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        name, pool, reason = values.pop("name"), values.pop("pool"), values.pop("reason")
        create_queue(name=name, pool=pool, values=values, reason=reason)
        return self.answer_new(name)

    @extend_schema(operation_id="queues_retrieve")
    def retrieve(self, request: Request, name: str) -> Response:
        """Show a queue's settings, its pause and its drain."""
        return self.answer(name)

    def answer(self, name: str) -> Response:
        return Response(QueueSerializer(get_queue(name), context={"state": self.state_of(name)}).data)
