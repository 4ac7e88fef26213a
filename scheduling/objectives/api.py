"""`objectives/`: the objectives, with their standing."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from scheduling.configuration.api import ConfiguredViewSet
from scheduling.configuration.serializers import RowSerializer, row_serializer
from scheduling.models import Objective
from scheduling.objectives.queries import read_standings
from scheduling.objectives.service import OBJECTIVES


class StandingSerializer(RowSerializer):
    """Base of the serializer: the standing over the window of the budget."""

    standing = serializers.SerializerMethodField(
        help_text="Jobs in time and late, late ones left out by reason, the budget left (1 is all), and burn rates."
    )

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


class ObjectiveViewSet(ConfiguredViewSet):
    """Objectives, with their counts, error budgets and burn rates."""

    path, configured = "objectives", OBJECTIVES
    shown = row_serializer(OBJECTIVES, "created_at", "standing", base=StandingSerializer)
