"""`routing-rules/test/`: which queue a hypothetical job would go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.jobs.routing.trials import try_route
from scheduling.models import RoutingRule
from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer
from tenants.api.viewsets import StaffViewSet
from tenants.limits.declared import HEAVY


class RouteQuestionSerializer(StrictSerializer):
    """A hypothetical job, to be routed without being submitted."""

    kind = NameField(max_length=64)
    tier = NameField(max_length=50, help_text="Its slug.")
    payload = serializers.DictField(required=False, default=dict)
    queue = NameField(
        max_length=60, required=False, allow_null=True, default=None, help_text="The queue that the tenant requests."
    )


class RuleVerdictSerializer(serializers.Serializer[object]):
    """Whether a rule matches the job, and the reason if not."""

    position = serializers.IntegerField(source="rule.position")
    rule = serializers.CharField(help_text="The rule as text: its position, kind and target.")
    matches = serializers.BooleanField()
    because = serializers.CharField(help_text="Why it does not match; empty if it does.")


class RouteAnswerSerializer(serializers.Serializer[object]):
    """The queue of the job, and for each evaluated rule whether it matches."""

    queue = serializers.CharField(allow_null=True, help_text="Null if the job would be refused.")
    refusal = serializers.CharField(help_text="Error code of the refusal; empty without one.")
    detail = serializers.CharField()
    choices = serializers.ListField(
        child=serializers.CharField(), help_text="Possible queues: by the rule, or by the tenant's choice."
    )
    rules = RuleVerdictSerializer(many=True)


class RoutingTrialViewSet(StaffViewSet):
    """Evaluation of the current routing rules for a hypothetical job."""

    model = RoutingRule
    serializer_class = RouteAnswerSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"test": Permission.PLATFORM_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"test": HEAVY}
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="routing_rules_test", request=RouteQuestionSerializer)
    def test(self, request: Request) -> Response:
        """Return the queue that a job would go to, the rule that decides it, and why earlier rules do not match.

        Nothing is stored.
        """
        given = RouteQuestionSerializer.of(request.data).validated_data
        trial = try_route(kind=given["kind"], tier=given["tier"], payload=given["payload"], queue=given["queue"])
        return Response(RouteAnswerSerializer(trial).data)
