"""Serializers of objectives."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from scheduling.models import Objective
from scheduling.objectives.models import TARGET_SECONDS
from scheduling.objectives.queries import read_standings
from tenants.api.input import NameField, StrictSerializer
from tenants.models import Tier
from tenants.plans.service import find_tier


class ObjectiveSerializer(serializers.ModelSerializer[Objective]):
    """An objective with its standing over the window of its budget."""

    tenant = serializers.CharField(source="tenant.slug", allow_null=True, default=None, help_text="Null: the platform.")
    standing = serializers.SerializerMethodField(
        help_text="Jobs in time and late, late ones left out by reason, the budget left (1 is all), and burn rates."
    )

    class Meta:
        model = Objective
        fields = (
            "id", "tenant", "name", "tier", "kind", "target_share", "target_seconds", "window_days", "created_at",
            "standing",
        )  # fmt: skip

    def get_standing(self, objective: Objective) -> dict[str, Any]:
        (found,) = read_standings([objective])
        return {
            "good": found.counts.good,
            "late": found.counts.late,
            "excused": found.counts.excused,
            "budget_left": found.budget_left,
            "burn_1h": found.burn_hour,
            "burn_6h": found.burn_six_hours,
        }


class ObjectiveRequestSerializer(StrictSerializer):
    """Fields of an objective to create or change."""

    name = NameField(max_length=100)
    tier = NameField(max_length=50, required=False, allow_null=True, help_text="Slug; only without a tenant.")
    kind = NameField(max_length=64, required=False, allow_blank=True, help_text="Empty: every kind.")
    target_share = serializers.FloatField(min_value=0.5, max_value=0.9999, required=False)
    target_seconds = serializers.ChoiceField(choices=TARGET_SECONDS, required=False)
    window_days = serializers.ChoiceField(choices=[7, 28], required=False)
    reason = NameField(max_length=500, required=False, allow_blank=True)

    def validate_tier(self, slug: str | None) -> Tier | None:
        return find_tier(slug) if slug is not None else None
