"""`routing-rules/test/`: where a job would go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.serializers.routing import RouteAnswerSerializer, RouteQuestionSerializer
from scheduling.models import RoutingRule
from scheduling.services.routing_trials import try_route
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
