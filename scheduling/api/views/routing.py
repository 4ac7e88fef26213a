"""`routing-rules/test/` and `backlog-moves/`: where jobs would go, and bringing what waits there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.serializers.routing import BacklogMoveSerializer, RouteAnswerSerializer, RouteQuestionSerializer
from scheduling.models import BacklogMove, RoutingRule
from scheduling.services.backlog import move_backlog
from scheduling.services.routing_trials import try_route
from tenants.api.pagination import PagingOnly
from tenants.api.serializers import ReasonSerializer
from tenants.api.viewsets import StaffViewSet
from tenants.permissions import Permission
from tenants.request_costs import HEAVY


class RoutingTrialViewSet(StaffViewSet):
    """The rules as they are now, asked about a job that is not there."""

    model = RoutingRule
    serializer_class = RouteAnswerSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"test": Permission.PLATFORM_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"test": HEAVY}
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="routing_rules_test", request=RouteQuestionSerializer)
    def test(self, request: Request) -> Response:
        """Say which rule would match and which queue it gives, and why the earlier rules do not. Nothing is stored."""
        body = RouteQuestionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        trial = try_route(kind=given["kind"], tier=given["tier"], payload=given["payload"], queue=given["queue"])
        return Response(RouteAnswerSerializer(trial).data)


class BacklogMoveViewSet(StaffViewSet):
    """Moves of what waits to the queues that routing names by now, newest first."""

    model = BacklogMove
    serializer_class = BacklogMoveSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.PLATFORM_VIEW,
        "create": Permission.FAIRNESS_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    @extend_schema(operation_id="backlog_moves_list", responses=BacklogMoveSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List moves and how far they are."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(BacklogMoveSerializer(page, many=True).data)

    @extend_schema(
        operation_id="backlog_moves_create", request=ReasonSerializer, responses={202: BacklogMoveSerializer}
    )
    def create(self, request: Request) -> Response:
        """Move what waits to where the rules send it by now; an open move begins anew."""
        body = ReasonSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        move = move_backlog(reason=body.validated_data["reason"])
        return Response(BacklogMoveSerializer(move).data, status=202)
