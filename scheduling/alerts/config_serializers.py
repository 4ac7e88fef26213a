"""Serializers of the alerts' configuration: what is shown of each row, and what a request may set."""

from __future__ import annotations

from rest_framework import serializers

from scheduling.alerts.config import secret_of
from scheduling.alerts.contact_models import Channel, Severity
from scheduling.models import AlertMessage, AlertOwner, AlertRoute, AlertSilence, Contact, ContactGroup
from tenants.api.input import MomentField, NameField, StrictSerializer, TextField, WholeNumberField

_HOURS = ("active_days", "active_from", "active_until", "zone")


class _RowSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    tenant = serializers.CharField(source="tenant.slug", allow_null=True, default=None, help_text="Null: the platform.")


class GroupSerializer(_RowSerializer):
    """A group of contacts."""

    class Meta:
        model = ContactGroup
        fields = ("id", "tenant", "name", "description", "is_default")


class ContactSerializer(_RowSerializer):
    """A contact of a group, without its target."""

    group = serializers.CharField(source="group.name")

    class Meta:
        model = Contact
        fields = (
            "id", "tenant", "group", "channel", "label", "roles", "min_severity", "per_hour", "quiet_until",
            "is_enabled", "failures", "disabled_reason",
        )  # fmt: skip


class NewContactSerializer(ContactSerializer):
    """A new contact, with the secret that signs its messages if it is a signed webhook."""

    secret = serializers.SerializerMethodField()

    class Meta(ContactSerializer.Meta):
        fields = (*ContactSerializer.Meta.fields, "secret")  # type: ignore[assignment]

    def get_secret(self, contact: Contact) -> str:
        return secret_of(contact)


class RouteSerializer(_RowSerializer):
    """A route of alerts to a group."""

    group = serializers.CharField(source="group.name")

    class Meta:
        model = AlertRoute
        fields = ("id", "tenant", "position", "measure", "min_severity", "only_tenant", *_HOURS, "group")


class OwnerSerializer(_RowSerializer):
    """The group that owns a queue, a kind or a template."""

    group = serializers.CharField(source="group.name")

    class Meta:
        model = AlertOwner
        fields = ("id", "tenant", "target", "name", "group")


class SilenceSerializer(_RowSerializer):
    """A silence of the alerts that match."""

    rule = serializers.CharField(source="rule.name", allow_null=True, default=None)

    class Meta:
        model = AlertSilence
        fields = (
            "id", "tenant", "rule", "object_key", "only_kind", "only_queue", "only_tenant", "starts_at", "ends_at",
            "reason", "is_maintenance", "created_by", "ended_by",
        )  # fmt: skip


class MessageSerializer(_RowSerializer):
    """A message to a contact, and the result of its delivery."""

    answer_status = serializers.IntegerField(source="status", allow_null=True, help_text="Null: there was no response.")

    class Meta:
        model = AlertMessage
        fields = (
            "id", "tenant", "contact", "what", "state", "due_at", "attempt", "answer_status", "error", "sent_at",
            "created_at",
        )  # fmt: skip


class _RequestSerializer(StrictSerializer):
    reason = NameField(max_length=500, required=False, allow_blank=True)


class GroupRequestSerializer(_RequestSerializer):
    """Fields of a contact group to create or change."""

    name = NameField(max_length=100)
    description = NameField(max_length=500, required=False, allow_blank=True)
    is_default = serializers.BooleanField(required=False, help_text="Another group is not the default any more.")


class ContactRequestSerializer(_RequestSerializer):
    """Fields of a contact to create or change."""

    group = NameField(max_length=100, help_text="Its name.")
    channel = serializers.ChoiceField(choices=Channel.choices)
    target = TextField(
        max_length=2_000,
        required=False,
        write_only=True,
        help_text="A URL; for mail, addresses of members, separated by commas; for PagerDuty and Opsgenie, a key.",
    )
    label = NameField(max_length=60, required=False, help_text="Default: the target's host and last characters.")
    roles = serializers.ListField(child=NameField(max_length=20), max_length=5, required=False)
    min_severity = serializers.ChoiceField(choices=Severity.choices, required=False)
    per_hour = WholeNumberField(min_value=1, max_value=1_000, required=False)
    quiet_until = MomentField(required=False, allow_null=True)
    is_enabled = serializers.BooleanField(required=False)


class RouteRequestSerializer(_RequestSerializer):
    """Fields of a route to create or change."""

    position = WholeNumberField(min_value=0, max_value=2**31 - 1)
    measure = NameField(max_length=40, required=False, allow_blank=True)
    min_severity = serializers.ChoiceField(choices=Severity.choices, required=False)
    only_tenant = serializers.UUIDField(required=False, allow_null=True)
    active_days = serializers.ListField(child=WholeNumberField(min_value=1, max_value=7), max_length=7, required=False)
    active_from = serializers.TimeField(required=False, allow_null=True)
    active_until = serializers.TimeField(required=False, allow_null=True)
    zone = NameField(max_length=64, required=False)
    group = NameField(max_length=100, help_text="Its name.")


class OwnerRequestSerializer(_RequestSerializer):
    """Fields of an owner to create or change."""

    target = serializers.ChoiceField(choices=AlertOwner.Target.choices)
    name = NameField(max_length=200)
    group = NameField(max_length=100, help_text="Its name.")


class SilenceRequestSerializer(StrictSerializer):
    """Fields of a silence to create or change."""

    rule = NameField(max_length=100, required=False, allow_null=True, help_text="Its name; null: every rule.")
    object_key = NameField(max_length=200, required=False, allow_blank=True)
    only_kind = NameField(max_length=64, required=False, allow_blank=True)
    only_queue = NameField(max_length=60, required=False, allow_blank=True)
    only_tenant = serializers.UUIDField(required=False, allow_null=True)
    starts_at = MomentField(required=False)
    ends_at = MomentField(required=False, help_text="At most 30 days after the begin; default: an hour after it.")
    reason = NameField(max_length=500)
    is_maintenance = serializers.BooleanField(required=False)
