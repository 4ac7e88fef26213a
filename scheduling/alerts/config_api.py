"""API of rules, contact groups, contacts, routes, owners, silences and messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.alerts import config
from scheduling.alerts.rule_config import CONDITION, RULES, preview_rule
from scheduling.alerts.targets import secret_of
from scheduling.configuration.api import ON_ROW, ConfiguredViewSet
from scheduling.configuration.serializers import RowSerializer, request_serializer, row_serializer
from scheduling.models import AlertMessage, AlertRule, Contact
from tenants.access.permissions import Permission
from tenants.api.input import MomentField, NameField, TextField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.limits.declared import SEARCH
from tenants.tenancy.serializers import NoBodySerializer, WhySerializer


class SecretSerializer(RowSerializer):
    """Base of the serializer of a new contact, with the secret that signs its messages if it is a signed webhook."""

    secret = serializers.SerializerMethodField()

    def get_secret(self, contact: Contact) -> str:
        return secret_of(contact)


class MessageSerializer(RowSerializer):
    """A message to a contact, and the result of its delivery."""

    contact = serializers.UUIDField(source="contact_id", allow_null=True)
    answer_status = serializers.IntegerField(source="status", allow_null=True, help_text="Null: there was no response.")

    class Meta:
        model = AlertMessage
        fields = (
            "id", "tenant", "contact", "what", "state", "due_at", "attempt", "answer_status", "error", "sent_at",
            "created_at",
        )  # fmt: skip


class BacktestSerializer(serializers.Serializer[Any]):
    """When a rule would have fired since `since`; null without history."""

    verdict = serializers.CharField(help_text="`ok`, `never`, `always`, `storm` or `unknown`.")
    count = serializers.IntegerField()
    since = serializers.DateTimeField(allow_null=True)
    sentence = serializers.CharField()
    warning = serializers.CharField(help_text="Why saving such a rule must be confirmed, or empty.")
    spans = serializers.ListField(child=serializers.JSONField(), help_text="The newest ones.")


_FAILURES = ("failures", "disabled_reason")
ContactSerializer = row_serializer(config.CONTACTS, *_FAILURES)
NewContactSerializer = row_serializer(config.CONTACTS, *_FAILURES, "secret", base=SecretSerializer, name="NewContact")
SilenceSerializer = row_serializer(config.SILENCES, "created_by", "ended_by")
ConditionSerializer = request_serializer("AlertCondition", AlertRule, CONDITION)


class ContactGroupViewSet(ConfiguredViewSet):
    """Groups of contacts that are notified together."""

    path, configured = "contact-groups", config.GROUPS


class ContactViewSet(ConfiguredViewSet):
    """Contacts of the groups. A target is never shown; the secret of a signed webhook is, when it is created."""

    path, configured, shown, created = "contacts", config.CONTACTS, ContactSerializer, NewContactSerializer
    declared: ClassVar[Mapping[str, Any]] = {
        "target": TextField(
            max_length=2_000,
            required=False,
            write_only=True,
            help_text="A URL; for mail, addresses of members, separated by commas; for PagerDuty and Opsgenie, a key.",
        ),
        "label": NameField(max_length=60, required=False, help_text="Default: the target's host and last characters."),
    }
    others: ClassVar[Mapping[str, Permission]] = {
        "test": Permission.ALERTS_RESPOND,
        "enable": Permission.ALERTS_MANAGE,
    }

    @extend_schema(operation_id="contacts_test", request=NoBodySerializer, responses={202: MessageSerializer})
    @action(**ON_ROW)
    def test(self, request: Request, pk: str) -> Response:
        """Send a test; `alert-messages/{id}/` shows its result."""
        NoBodySerializer.of(request.data)
        return Response(MessageSerializer(config.send_test(self.find(pk))).data, status=202)

    @extend_schema(operation_id="contacts_enable", request=WhySerializer, responses=ContactSerializer)
    @action(**ON_ROW)
    def enable(self, request: Request, pk: str) -> Response:
        """Enable a contact that was disabled because its messages failed."""
        body = WhySerializer.of(request.data)
        return self.respond_with(config.enable(self.find(pk), reason=body.validated_data["reason"]))


class AlertRouteViewSet(ConfiguredViewSet):
    """Routes of alerts without an owner to groups, by severity, measure, tenant and hours."""

    path, configured = "alert-routes", config.ROUTES


class AlertOwnerViewSet(ConfiguredViewSet):
    """Groups that own a queue, a kind or a template."""

    path, configured = "alert-owners", config.OWNERS


class AlertSilenceViewSet(ConfiguredViewSet):
    """Silences and maintenance windows."""

    path, configured, shown, changes = "alert-silences", config.SILENCES, SilenceSerializer, Permission.ALERTS_RESPOND
    declared: ClassVar[Mapping[str, Any]] = {
        "ends_at": MomentField(required=False, help_text="At most 30 days after its start; default: an hour.")
    }
    others: ClassVar[Mapping[str, Permission]] = {"end": Permission.ALERTS_RESPOND}

    @extend_schema(operation_id="alert_silences_end", request=WhySerializer, responses=SilenceSerializer)
    @action(**ON_ROW)
    def end(self, request: Request, pk: str) -> Response:
        """End a silence now."""
        body = WhySerializer.of(request.data)
        return self.respond_with(config.end_silence(self.find(pk), reason=body.validated_data["reason"]))


class AlertRuleViewSet(ConfiguredViewSet):
    """Alert rules. `origin` names one that is shipped."""

    path, configured, shown = "alert-rules", RULES, row_serializer(RULES, "origin", "changed_at", "backtest")
    declared: ClassVar[Mapping[str, Any]] = {
        "confirm": serializers.BooleanField(
            required=False, help_text="Save it even if its backtest warns that it is of no use."
        )
    }
    # It stores nothing.
    others: ClassVar[Mapping[str, Permission]] = {"preview": Permission.JOBS_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"preview": SEARCH}

    @extend_schema(operation_id="alert_rules_preview", request=ConditionSerializer, responses=BacktestSerializer)
    @action(**{**ON_ROW, "detail": False})
    def preview(self, request: Request) -> Response:
        """Return when a rule with this condition would have fired; store nothing."""
        values = ConditionSerializer.of(request.data).validated_data
        return Response(BacktestSerializer(preview_rule(values)).data)


class AlertMessageViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Messages to contacts, newest first, with the result of their delivery."""

    model, serializer_class = AlertMessage, MessageSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = dict.fromkeys(("list", "retrieve"), Permission.JOBS_VIEW)

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("tenant")


CONFIGURED_VIEWS = (
    AlertRuleViewSet,
    ContactGroupViewSet,
    AlertRouteViewSet,
    AlertOwnerViewSet,
    AlertSilenceViewSet,
    ContactViewSet,
)
