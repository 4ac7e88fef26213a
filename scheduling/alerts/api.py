"""`alerts/`: open and past alerts, and the actions on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.alerts import acts
from scheduling.alerts.contact_models import Severity
from scheduling.alerts.queries import FIRED, OPEN, find_alerts
from scheduling.api.filters import PAGING_PARAMETERS, QuerySerializer, QueryTextField, page_response
from scheduling.configuration.serializers import RowSerializer
from scheduling.models import Alert
from tenants.access.permissions import Permission
from tenants.api.input import MomentField, NameField, StrictSerializer
from tenants.api.viewsets import TenantViewSet
from tenants.database.ids import uuid7_floor


class AlertSerializer(RowSerializer):
    """An alert: a rule's condition that held for an object, from then until it cleared."""

    rule = serializers.CharField(source="rule_name")
    object = serializers.JSONField(help_text="`{type, id, label, parents}`.")
    silence = serializers.UUIDField(source="silence_id", allow_null=True, help_text="What keeps it from notifying.")
    inhibited_by = serializers.UUIDField(allow_null=True, help_text="The alert that explains it.")

    class Meta:
        model = Alert
        fields = (
            "id", "tenant", "rule", "rule_id", "severity", "object_key", "object", "about_tenant", "state", "value",
            "peak", "threshold", "pending_at", "fired_at", "resolved_at", "evaluated_at", "acknowledged_by",
            "acknowledged_at", "note", "escalated_at", "silence", "inhibited_by", "tenants", "tenants_count", "facts",
            "outcome", "outcome_note",
        )  # fmt: skip


class AlertQuerySerializer(QuerySerializer):
    """Query parameters that filter alerts."""

    state = serializers.ChoiceField(
        choices=["open", *Alert.State.values], default=None, help_text="`open`: unresolved."
    )
    severity = serializers.ChoiceField(choices=Severity.values, default=None)
    object = QueryTextField(help_text="An object's key, such as `queue:pipeline`.")
    since = MomentField(default=None, help_text="Alerts that began at this time or later.")


class AlertNoteSerializer(StrictSerializer):
    """Request with an optional note."""

    note = NameField(max_length=500, required=False, allow_blank=True, default="")


class AlertOutcomeSerializer(AlertNoteSerializer):
    """Request to resolve an alert, with what its cause was or what helped."""

    outcome = serializers.ChoiceField(choices=Alert.Outcome.choices, default="")


class AlertSilencingSerializer(StrictSerializer):
    """Request to silence an alert."""

    until = MomentField(default=None, allow_null=True, help_text="At most 30 days from now; null: in an hour.")
    reason = NameField(max_length=500)


_ACTS = ("acknowledge", "resolve", "silence")


class AlertViewSet(RetrieveModelMixin, TenantViewSet):
    """The alerts of the tenant; for platform staff without a tenant in the request, all of them."""

    model = Alert
    serializer_class = AlertSerializer
    filter_backends: ClassVar[list[Any]] = []
    permissions: ClassVar[Mapping[str, Permission]] = {
        **dict.fromkeys(("list", "retrieve"), Permission.JOBS_VIEW),
        **dict.fromkeys(_ACTS, Permission.ALERTS_RESPOND),
    }
    over_all_tenants = frozenset(_ACTS)

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset() if getattr(self, "swagger_fake_view", False) else find_alerts()

    @extend_schema(
        operation_id="alerts_list",
        parameters=[AlertQuerySerializer, *PAGING_PARAMETERS],
        responses=AlertSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List alerts, newest first; without `state` those that have fired."""
        asked = AlertQuerySerializer.parse(request.query_params).validated_data
        since = asked["since"] and uuid7_floor(asked["since"])
        wanted = {"severity": asked["severity"], "object_key": asked["object"], "pk__gte": since}
        rows = self.get_queryset().filter(**{name: value for name, value in wanted.items() if value})
        state = {"open": OPEN, None: FIRED}.get(asked["state"], Q(state=asked["state"]))
        return page_response(self, rows.filter(state), AlertSerializer)

    @extend_schema(operation_id="alerts_acknowledge", request=AlertNoteSerializer, responses=AlertSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Acknowledge an open alert, so that it does not escalate."""
        return self._act(acts.acknowledge, AlertNoteSerializer)

    @extend_schema(operation_id="alerts_resolve", request=AlertOutcomeSerializer, responses=AlertSerializer)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        """Record what helped, and resolve the alert at the next evaluation; 409 while its value is not clear."""
        return self._act(acts.resolve_by_hand, AlertOutcomeSerializer)

    @extend_schema(operation_id="alerts_silence", request=AlertSilencingSerializer, responses=AlertSerializer)
    @action(detail=True, methods=["post"])
    def silence(self, request: Request, pk: str) -> Response:
        """Silence the alert's rule for its object."""
        return self._act(acts.silence, AlertSilencingSerializer)

    def _act(self, act: Any, serializer: Any) -> Response:
        alert = self.get_object()
        act(alert_id=alert.pk, **serializer.of(self.request.data).validated_data)
        return Response(AlertSerializer(acts.find_alert(alert.pk)).data)
