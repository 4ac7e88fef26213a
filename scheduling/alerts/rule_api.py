"""`alert-rules/`: conditions that are watched, with a preview of when a rule would have fired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.alerts.config import find_by_name
from scheduling.alerts.config_api import ConfigViewSet, describe_operations, rights
from scheduling.alerts.models import COMPARISONS, PERS, Severity
from scheduling.alerts.rule_config import EDITED, preview_rule, save_rule
from scheduling.models import AlertRule, ContactGroup
from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer, WholeNumberField
from tenants.context import current_tenant_id
from tenants.limits.declared import SEARCH


class AlertRuleSerializer(serializers.ModelSerializer[AlertRule]):
    """An alert rule. Without a tenant it is the platform's; `origin` names one that is shipped."""

    tenant = serializers.CharField(source="tenant.slug", allow_null=True, default=None, help_text="Null: the platform.")

    escalate_to = serializers.CharField(source="escalate_to.name", allow_null=True, default=None)

    class Meta:
        model = AlertRule
        fields = ("id", "tenant", "origin", *EDITED, "changed_at", "backtest")


class AlertConditionSerializer(StrictSerializer):
    """The condition of a rule."""

    measure = NameField(max_length=40)
    per = serializers.ChoiceField(choices=PERS)
    log_query = NameField(
        max_length=500, required=False, allow_blank=True, help_text="A search of `logs/`, for `log_matches`."
    )
    only_kind = NameField(max_length=64, required=False, allow_blank=True)
    only_queue = NameField(max_length=60, required=False, allow_blank=True)
    only_tenant = serializers.UUIDField(required=False, allow_null=True)
    comparison = serializers.ChoiceField(choices=COMPARISONS, required=False)
    threshold = serializers.FloatField()
    clear_threshold = serializers.FloatField(required=False, allow_null=True)
    for_seconds = WholeNumberField(required=False, min_value=0, max_value=86_400)
    clear_seconds = WholeNumberField(required=False, min_value=0, max_value=86_400)
    active_days = serializers.ListField(
        child=WholeNumberField(min_value=1, max_value=7), required=False, max_length=7, help_text="1 is Monday."
    )
    active_from = serializers.TimeField(required=False, allow_null=True)
    active_until = serializers.TimeField(required=False, allow_null=True)
    zone = NameField(max_length=64, required=False)


class AlertRuleRequestSerializer(AlertConditionSerializer):
    """A rule to create, or the fields to change."""

    name = NameField(max_length=100)
    severity = serializers.ChoiceField(choices=Severity.choices, required=False)
    escalate_minutes = WholeNumberField(required=False, allow_null=True, min_value=1, max_value=1_440)
    escalate_to = NameField(max_length=100, required=False, allow_null=True, help_text="The name of a contact group.")
    notifies_tenant = serializers.BooleanField(required=False)
    inhibits = serializers.ListField(child=NameField(max_length=40), required=False, max_length=20)
    runbook = NameField(max_length=80, required=False, allow_blank=True)
    is_enabled = serializers.BooleanField(required=False)
    confirm = serializers.BooleanField(
        required=False, default=False, help_text="Save it even if its backtest says that it is of no use."
    )
    reason = NameField(max_length=500, required=False, allow_blank=True)


class SpanSerializer(serializers.Serializer[Any]):
    """A time for which the rule would have fired; `ended_at` is null if it still would."""

    label = serializers.CharField()
    began_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    peak = serializers.FloatField()


class BacktestSerializer(serializers.Serializer[Any]):
    """When a rule would have fired since `since`; null without history."""

    verdict = serializers.CharField(help_text="`ok`, `never`, `always`, `storm` or `unknown`.")
    count = serializers.IntegerField()
    since = serializers.DateTimeField(allow_null=True)
    sentence = serializers.CharField()
    spans = SpanSerializer(many=True, help_text="The newest ones.")


@extend_schema_view(list=extend_schema(operation_id="alert_rules_list"))
class AlertRuleViewSet(ConfigViewSet):
    """Alert rules."""

    model, serializer_class, request_serializer = AlertRule, AlertRuleSerializer, AlertRuleRequestSerializer
    permissions = rights(Permission.ALERTS_MANAGE, preview=Permission.JOBS_VIEW)
    request_costs: ClassVar[Mapping[str, int]] = {"preview": SEARCH}
    # It stores nothing.
    over_all_tenants = ConfigViewSet.over_all_tenants | {"preview"}

    @extend_schema(operation_id="alert_rules_preview", request=AlertConditionSerializer, responses=BacktestSerializer)
    @action(detail=False, methods=["post"], filter_backends=[], pagination_class=None)
    def preview(self, request: Request) -> Response:
        """Say when a rule with this condition would have fired; store nothing."""
        values = AlertConditionSerializer.of(request.data).validated_data
        return Response(BacktestSerializer(preview_rule(values)).data)

    def _save(self, row: Any, *, is_partial: bool) -> Any:
        values = dict(self.request_serializer.of(self.request.data, partial=is_partial).validated_data)
        reason, is_confirmed = values.pop("reason", ""), values.pop("confirm", False)
        if values.get("escalate_to") is not None:
            tenant_id = current_tenant_id() if row._state.adding else row.tenant_id
            values["escalate_to"] = find_by_name(ContactGroup, tenant_id, values["escalate_to"], field="escalate_to")
        return save_rule(row, values, reason=reason, is_confirmed=is_confirmed)


ALERT_RULES = describe_operations("alert_rules", AlertRuleViewSet)
