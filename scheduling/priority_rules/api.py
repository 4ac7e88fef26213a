"""API of `priority-rules/`: the rules, and what one would have done in the last hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.configuration.api import ON_ROW, ConfiguredViewSet
from scheduling.priority_rules.configured import PRIORITY_RULES
from scheduling.priority_rules.what_if import KindWaits, RuleEffect, what_if_rule
from tenants.access.permissions import Permission
from tenants.api.viewsets import StaffViewSet
from tenants.limits.declared import HEAVY
from tenants.tenancy.serializers import NoBodySerializer


class KindWaitsSerializer(serializers.Serializer[KindWaits]):
    """Waits of a kind's jobs in seconds, without and with the rule."""

    kind = serializers.CharField()
    jobs = serializers.IntegerField()
    moved = serializers.IntegerField()
    mean_now = serializers.FloatField()
    mean_after = serializers.FloatField()
    p95_now = serializers.FloatField()
    p95_after = serializers.FloatField()


class RuleEffectSerializer(serializers.Serializer[RuleEffect]):
    """What a rule would have done in the last hour if its load state had lasted all the time."""

    jobs = serializers.IntegerField(help_text="Jobs that started, and have ended since.")
    covered = serializers.IntegerField(help_text="Those that the rule is about.")
    moved = serializers.IntegerField(help_text="Those that would have started at another time.")
    is_cut = serializers.BooleanField(help_text="Whether there were more, of which the newest were replayed.")
    kinds = KindWaitsSerializer(many=True, help_text="The 20 kinds with the most moved jobs.")


class PriorityRuleViewSet(ConfiguredViewSet):
    """Rules that move jobs within their tenant's line under load; those that cover a job add up, to ±300 s at most."""

    path, configured = "priority-rules", PRIORITY_RULES
    permission_classes = StaffViewSet.permission_classes
    views, changes = Permission.PLATFORM_VIEW, Permission.FAIRNESS_MANAGE
    # It stores nothing.
    others: ClassVar[Mapping[str, Permission]] = {"what_if": Permission.PLATFORM_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"what_if": HEAVY}

    @extend_schema(operation_id="priority_rules_what_if", request=NoBodySerializer, responses=RuleEffectSerializer)
    @action(**ON_ROW, url_path="what-if")
    def what_if(self, request: Request, pk: str) -> Response:
        """Return what the rule, enabled or not, would have done in the last hour; change nothing."""
        NoBodySerializer.of(request.data)
        return Response(RuleEffectSerializer(what_if_rule(self.find(pk))).data)
