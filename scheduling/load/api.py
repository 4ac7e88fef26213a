"""API of `load/`: the load states with what is measured, and forcing a state for a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.configuration.api import ConfiguredViewSet
from scheduling.load.configured import SHEDDING_RULES
from scheduling.load.models import LoadState
from scheduling.load.queries import list_states
from scheduling.load.rules import SIGNALS, Level
from scheduling.load.service import REASON_LIMIT, force_level, release_level
from tenants.access.permissions import Permission
from tenants.api.input import MomentField, NameField, StrictSerializer
from tenants.api.viewsets import StaffViewSet, Unpaged
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.tenancy.serializers import WhySerializer

LEVELS = [level.slug for level in Level]


class SignalSerializer(serializers.Serializer[Any]):
    """A measured value, and the values from which the states busy, overloaded and brown-out begin."""

    name = serializers.CharField()
    value = serializers.FloatField()
    unit = serializers.CharField()
    state = serializers.CharField(help_text="The state that the value stands for.")
    thresholds = serializers.ListField(
        child=serializers.FloatField(), help_text="Descending ones mean that low values are bad."
    )


class LoadStateSerializer(serializers.Serializer[LoadState]):
    """Load state of the platform or of a pool."""

    scope = serializers.CharField(help_text="`platform` or `pool:NAME`.")
    state = serializers.SerializerMethodField(help_text="The state that applies: the forced one, else the measured.")
    measured_state = serializers.SerializerMethodField()
    since = serializers.DateTimeField(help_text="Since when it is measured.")
    measured_at = serializers.DateTimeField()
    signals = serializers.SerializerMethodField()
    admitted = serializers.DictField(
        child=serializers.IntegerField(), help_text="Percent of the new jobs that are accepted, by tier; absent: all."
    )
    forced_until = serializers.DateTimeField(allow_null=True, help_text="Null unless a state was forced.")
    forced_reason = serializers.CharField()
    forced_by = serializers.CharField()

    def get_state(self, row: LoadState) -> str:
        """Return the name of the state that applies."""
        return row.applying(self.context["now"]).slug

    def get_measured_state(self, row: LoadState) -> str:
        """Return the name of the measured state."""
        return Level(row.level).slug

    @extend_schema_field(SignalSerializer(many=True))
    def get_signals(self, row: LoadState) -> list[dict[str, Any]]:
        """Return the measured values, each with the state that it stands for."""
        known = {name: SIGNALS[name] for name in SIGNALS if name in row.signals}
        return [
            {
                "name": name,
                "value": row.signals[name],
                "unit": signal.unit,
                "state": signal.level_of(row.signals[name]).slug,
                "thresholds": list(signal.thresholds),
            }
            for name, signal in known.items()
        ]


class ForceLoadSerializer(StrictSerializer):
    """Request to force a state: which one, until when (at most a day ahead), and the reason."""

    state = serializers.ChoiceField(choices=LEVELS)
    until = MomentField(required=False, allow_null=True, default=None, help_text="Absent or null: in an hour.")
    reason = NameField(max_length=REASON_LIMIT)


class LoadViewSet(Unpaged, StaffViewSet):
    """Load states of the platform and of its pools."""

    model = LoadState
    serializer_class = LoadStateSerializer
    lookup_field = "scope"
    lookup_value_regex = r"platform|pool:[-a-zA-Z0-9_.]{1,50}"
    permissions: ClassVar[Mapping[str, Permission]] = {
        "states": Permission.PLATFORM_VIEW,
        "force": Permission.QUEUES_OPERATE,
        "release": Permission.QUEUES_OPERATE,
    }

    @extend_schema(operation_id="load_list", responses=LoadStateSerializer(many=True))
    def states(self, request: Request) -> Response:
        """List the states, that of the platform first. They are measured once a second."""
        NoQuerySerializer.parse(request.query_params)
        with all_tenants():
            return Response(LoadStateSerializer(list_states(), many=True, context={"now": read_clock()}).data)

    @extend_schema(operation_id="load_force", request=ForceLoadSerializer, responses=LoadStateSerializer)
    @action(detail=True, methods=["post"])
    def force(self, request: Request, scope: str) -> Response:
        """Let a state apply until a time, whatever is measured. A repeated call replaces state, end and reason."""
        values = dict(ForceLoadSerializer.of(request.data).validated_data)
        level = Level[values.pop("state").upper()]
        return _answer(force_level(scope=scope, level=level, **values))

    @extend_schema(operation_id="load_release", request=WhySerializer, responses=LoadStateSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, scope: str) -> Response:
        """End a forced state, so that the measured one applies again."""
        body = WhySerializer.of(request.data)
        return _answer(release_level(scope=scope, reason=body.validated_data["reason"]))


def _answer(row: LoadState) -> Response:
    return Response(LoadStateSerializer(row, context={"now": read_clock()}).data)


class SheddingRuleViewSet(ConfiguredViewSet):
    """What the platform does without from a load state on; the first rule that matches a new job decides."""

    path, configured = "shedding-rules", SHEDDING_RULES
    permission_classes = StaffViewSet.permission_classes
    views, changes = Permission.PLATFORM_VIEW, Permission.FAIRNESS_MANAGE
