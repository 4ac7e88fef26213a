"""Serializers of webhooks and their deliveries."""

from __future__ import annotations

from rest_framework import serializers

from scheduling.subscriptions.registry import JOB_EVENTS, MAX_FILTER_CHARACTERS
from tenants.api.input import NameField, StrictSerializer, TextField
from workloads.webhooks.models import MAX_URL, Delivery, Webhook
from workloads.webhooks.service import ShownSecret


class WebhookWriteSerializer(StrictSerializer):
    """Request body: the fields of a webhook to create or change."""

    name = NameField(max_length=100, help_text="Unique within the tenant.")
    url = NameField(max_length=MAX_URL, help_text="http or https; private and internal addresses are refused.")
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=JOB_EVENTS),
        max_length=len(JOB_EVENTS),
        required=False,
        help_text="Events of the tenant's jobs that it receives from now on; without any, only those of batches that "
        "name it.",
    )
    filter = TextField(
        max_length=MAX_FILTER_CHARACTERS,
        allow_blank=True,
        required=False,
        source="job_filter",
        help_text="Filter of jobs, such as `kind:noop tag:night`; empty: all jobs. Fields: docs/how-to/webhooks.md.",
    )


class WebhookSerializer(serializers.Serializer[Webhook]):
    """A webhook: a URL of the tenant that is notified of events."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    name = serializers.CharField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.ChoiceField(choices=JOB_EVENTS))
    filter = serializers.CharField(source="job_filter")
    created_at = serializers.DateTimeField()
    rotated_at = serializers.DateTimeField(allow_null=True, help_text="When its secret was last replaced.")


class ShownSecretSerializer(serializers.Serializer[ShownSecret]):
    """A webhook with its secret. Only this response contains the secret."""

    webhook = WebhookSerializer()
    secret = serializers.CharField(help_text="`whsec_` and the key in base64; it verifies the signatures.")


class TestDeliverySerializer(serializers.Serializer[None]):
    """A test delivery that was submitted."""

    job = serializers.UUIDField(help_text="The job that delivers.")


class DeliverySerializer(serializers.Serializer[Delivery]):
    """One attempt to deliver an event to a webhook."""

    id = serializers.UUIDField()
    job = serializers.UUIDField(source="job_id")
    event = serializers.CharField()
    attempt = serializers.IntegerField()
    delivered = serializers.BooleanField(source="is_delivered")
    # An HTTP status, or null if there was no response.
    answer_status = serializers.IntegerField(source="status", allow_null=True)
    error = serializers.CharField()
    answer = serializers.CharField(help_text="The beginning of the response.")
    seconds = serializers.FloatField()
    created_at = serializers.DateTimeField()
