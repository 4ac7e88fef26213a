"""`fairness/`: share against entitlement over time, and the decisions that gave a tenant its slots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.serializers.fairness import (
    DecisionsSerializer,
    FairnessQuerySerializer,
    QueuesQuerySerializer,
    ShareHistorySerializer,
)
from scheduling.models import Queue, ShareMinute
from scheduling.selectors.decisions import read_decisions
from scheduling.selectors.share_history import read_share_history
from scheduling.selectors.virtual_times import read_virtual_times
from tenants.api.viewsets import TenantViewSet
from tenants.permissions import Permission
from tenants.request_costs import LIST


class FairnessViewSet(TenantViewSet):
    """Who had what it was entitled to; a tenant sees its own use alone."""

    model = ShareMinute
    serializer_class = ShareHistorySerializer
    pagination_class = None
    filter_backends: ClassVar[list[Any]] = []
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "decisions": Permission.JOBS_VIEW,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"decisions": LIST}

    @extend_schema(
        operation_id="fairness_retrieve", parameters=[FairnessQuerySerializer], responses=ShareHistorySerializer
    )
    def list(self, request: Request) -> Response:
        """Show slots had and entitled to over time, by tenant."""
        query = FairnessQuerySerializer.parse(request.query_params)
        queues = query.to_queues()
        history = read_share_history(query.span, queues=queues)
        times = read_virtual_times(list(Queue.objects.order_by("name")) if queues is None else queues)
        return Response(ShareHistorySerializer(history, context={"virtual_times": times}).data)

    @extend_schema(operation_id="fairness_decisions", parameters=[QueuesQuerySerializer], responses=DecisionsSerializer)
    @action(detail=False, methods=["get"])
    def decisions(self, request: Request) -> Response:
        """List the tenant's last 50 hand-outs with the numbers that decided them."""
        queues = QueuesQuerySerializer.parse(request.query_params).to_queues()
        found = read_decisions(self.tenant.pk, queues=queues)
        names = dict(Queue.objects.values_list("pk", "name"))
        return Response(DecisionsSerializer({"results": found}, context={"queue_names": names}).data)
