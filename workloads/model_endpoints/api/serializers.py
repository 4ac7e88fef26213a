"""Serializers of `model-endpoints/` and `model-usage/`."""

from __future__ import annotations

from rest_framework import serializers

from tenants.api.input import NameField, NumberField, StrictSerializer, TextField, WholeNumberField
from tenants.database.platform_settings import platform_settings
from workloads.model_endpoints.models import (
    MAX_DIMENSIONS,
    MAX_ENDPOINT_NAME,
    MAX_KEY,
    MAX_MODEL_NAME,
    MAX_PER_MINUTE,
    MAX_PER_MONTH,
    MAX_URL,
    ModelEndpoint,
    ModelProvider,
    ModelUse,
    UsageDay,
)
from workloads.model_endpoints.probe import ProbeAnswer
from workloads.model_endpoints.service import MAX_MODELS, MAX_SECONDS


def _rate(help_text: str) -> WholeNumberField:
    return WholeNumberField(
        min_value=1,
        max_value=MAX_PER_MINUTE,
        required=False,
        allow_null=True,
        help_text=help_text,
    )


def _price(help_text: str) -> serializers.DecimalField:
    return serializers.DecimalField(
        max_digits=14, decimal_places=6, min_value=0, required=False, allow_null=True, help_text=help_text
    )


def _url(*, is_required: bool) -> NameField:
    help_text = "Base URL; private and internal addresses are refused."
    return NameField(max_length=MAX_URL, required=is_required, help_text=help_text)


def _seconds() -> NumberField:
    return NumberField(min_value=0.1, max_value=MAX_SECONDS, required=False)


class EndpointModelSerializer(StrictSerializer):
    """A model of an endpoint."""

    name = NameField(max_length=MAX_MODEL_NAME, help_text="As the endpoint calls it.")
    use = serializers.ChoiceField(choices=ModelUse.choices)
    dimensions = WholeNumberField(
        min_value=1, max_value=MAX_DIMENSIONS, required=False, allow_null=True, help_text="Of an embedding model."
    )
    sends_dimensions = serializers.BooleanField(
        required=False, help_text="Whether requests name the dimensions; some servers refuse that. By default they do."
    )
    is_default = serializers.BooleanField(required=False, help_text="The chat model of nodes that name none.")
    input_price = _price("Price of a million input tokens, in the platform's currency.")
    output_price = _price("Price of a million output tokens.")
    requests_per_minute = _rate("Requests a minute, of all workers together; null: no limit.")
    tokens_per_minute = _rate("Tokens a minute, of all workers together")
    tokens_per_month = WholeNumberField(
        min_value=1, max_value=MAX_PER_MONTH, required=False, allow_null=True, help_text="null: no limit."
    )


class ModelEndpointChangeSerializer(StrictSerializer):
    """Request body: the fields of an endpoint to change. ``models`` replaces the whole list."""

    provider = serializers.ChoiceField(choices=ModelProvider.choices, required=False)
    url = _url(is_required=False)
    key = TextField(
        max_length=MAX_KEY,
        allow_blank=True,
        required=False,
        help_text="Reference to a stored secret that is bound to the URL's host: `{{ secrets.name }}`.",
    )
    connect_seconds = _seconds()
    read_seconds = _seconds()
    total_seconds = _seconds()
    requests_per_minute = _rate("Requests a minute, of all models and workers together")
    tokens_per_minute = _rate("Tokens a minute, of all models and workers together")
    is_enabled = serializers.BooleanField(required=False)
    models = EndpointModelSerializer(many=True, required=False, max_length=MAX_MODELS)


class ModelEndpointCreateSerializer(ModelEndpointChangeSerializer):
    """Request body: the fields of an endpoint to create. Its name never changes."""

    url = _url(is_required=True)
    name = NameField(max_length=MAX_ENDPOINT_NAME, help_text="Lower-case letters, digits and underscores.")


class ModelEndpointSerializer(serializers.Serializer[ModelEndpoint]):
    """A model endpoint with its models."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    name = serializers.CharField()
    provider = serializers.ChoiceField(choices=ModelProvider.choices)
    url = serializers.CharField()
    key = serializers.CharField(help_text="The reference, never the value.")
    connect_seconds = serializers.FloatField()
    read_seconds = serializers.FloatField()
    total_seconds = serializers.FloatField()
    requests_per_minute = serializers.IntegerField(allow_null=True)
    tokens_per_minute = serializers.IntegerField(allow_null=True)
    is_enabled = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    models = EndpointModelSerializer(many=True)
    open_breakers = serializers.ListField(
        child=serializers.CharField(), help_text="Its models whose circuit breaker is open, as endpoint/model."
    )


class ModelTestSerializer(StrictSerializer):
    """Request body of a test."""

    model = TextField(max_length=MAX_MODEL_NAME, required=False, default="", help_text="By default the first.")


class ProbeAnswerSerializer(serializers.Serializer[ProbeAnswer]):
    """What a model answered to the test."""

    model = serializers.CharField()
    text = serializers.CharField()
    seconds = serializers.FloatField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()


class UsageFilterSerializer(StrictSerializer):
    """Query of a usage list: the days, both included, and the model."""

    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False)
    model = TextField(max_length=200, required=False, default="")


class ModelUsageSerializer(serializers.Serializer[UsageDay]):
    """The usage of one model on one day (UTC)."""

    day = serializers.DateField()
    endpoint = serializers.CharField()
    model = serializers.CharField()
    requests = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost = serializers.DecimalField(
        max_digits=24, decimal_places=12, allow_null=True, help_text="In `currency`; null: no price is known."
    )
    currency = serializers.SerializerMethodField()

    def get_currency(self, row: UsageDay) -> str:
        """Return the platform's currency of prices."""
        return str(platform_settings.MODEL_CURRENCY)
