"""CFS plans as the platform's people see and change them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from scheduling.models import CFSPlan
from scheduling.services.cfs_plans import MAX_WEIGHT
from tenants.api.fields import NameField, StrictSerializer, WholeNumberField
from tenants.versions.api import PlanEditSerializer, WaitingVersionSerializer
from tenants.versions.queries import waiting_versions

MAX_TIERS = 100


class CFSPlanTierSerializer(StrictSerializer):
    """The queue that a tier's jobs go to where they are routed by tier, and its weight."""

    tier = NameField(source="tier_id", max_length=50)
    queue = NameField(source="queue.name", max_length=60)
    weight = WholeNumberField(min_value=1, max_value=MAX_WEIGHT)


class CFSPlanSerializer(serializers.Serializer[CFSPlan]):
    """A CFS plan with its tier rows."""

    name = serializers.CharField()
    is_active = serializers.BooleanField()
    strategy = serializers.CharField()
    granularity_seconds = serializers.IntegerField(help_text="Length of a time slice.")
    reserved_slots = serializers.IntegerField(help_text="Slots kept for tenants below their share.")
    tiers = CFSPlanTierSerializer(many=True)
    version = serializers.IntegerField(help_text="Number of the version in effect.")
    updated_at = serializers.DateTimeField()
    waiting_versions = serializers.SerializerMethodField()

    def get_waiting_versions(self, plan: CFSPlan) -> list[dict[str, Any]]:
        return list(WaitingVersionSerializer(waiting_versions(plan), many=True).data)


class CFSPlanChangeSerializer(PlanEditSerializer):
    """New values of some fields; `tiers` replaces all tier rows."""

    name = NameField(max_length=60, required=False)
    strategy = serializers.ChoiceField(choices=CFSPlan.Strategy.choices, required=False)
    granularity_seconds = WholeNumberField(min_value=1, max_value=86_400, required=False)
    reserved_slots = WholeNumberField(min_value=0, max_value=2**31 - 1, required=False)
    tiers = CFSPlanTierSerializer(many=True, required=False, max_length=MAX_TIERS)
