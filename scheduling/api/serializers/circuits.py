"""Circuit breakers as they are answered, and held by hand."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from scheduling.models import Circuit
from scheduling.models.circuits import STATE_CHOICES
from scheduling.processors.base import MAX_DEPENDENCY_CHARACTERS
from scheduling.services.circuits import REASON_LIMIT
from tenants.api.fields import MomentField, NameField, StrictSerializer

# What a shared breaker says of other tenants.
_OF_OTHERS = {"failures": None, "fingerprint": "", "error_type": "", "error_message": ""}


class CircuitSerializer(serializers.Serializer[Circuit]):
    """The breaker before what a tenant's jobs of one kind need; there is none while nothing fails."""

    tenant = serializers.CharField(source="tenant.slug", allow_null=True, help_text="Null: shared by all tenants.")
    kind = serializers.CharField()
    dependency = serializers.CharField(help_text="What is needed; empty for the kind itself.")
    state = serializers.ChoiceField(choices=STATE_CHOICES)
    failures = serializers.IntegerField(
        allow_null=True, help_text="In a row. Null where they are not this tenant's alone."
    )
    fingerprint = serializers.CharField()
    error_type = serializers.CharField()
    error_message = serializers.CharField(help_text="Of the last failure, its beginning.")
    opened_at = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(
        allow_null=True, help_text="When one job tries, or when it is no longer held by hand; null: nobody knows."
    )
    reason = serializers.CharField(source="forced_reason", help_text="Why it is held by hand.")

    def to_representation(self, instance: Circuit) -> dict[str, Any]:
        answer: dict[str, Any] = super().to_representation(instance)
        return answer if instance.tenant_id is not None else answer | _OF_OTHERS


class SharedCircuitSerializer(CircuitSerializer):
    """The breaker before what jobs of one kind need, of whatever tenant."""

    tenants = serializers.SerializerMethodField()

    def get_tenants(self, circuit: Circuit) -> int:
        """Of how many tenants the failures were that are counted."""
        return len(circuit.tenants)

    def to_representation(self, instance: Circuit) -> dict[str, Any]:
        answer: dict[str, Any] = serializers.Serializer.to_representation(self, instance)
        return answer


class ResetCircuitSerializer(StrictSerializer):
    """Which breaker of a kind is left to itself again, and why."""

    dependency = NameField(max_length=MAX_DEPENDENCY_CHARACTERS, required=False, allow_blank=True, default="")
    reason = NameField(max_length=500, required=False, allow_blank=True, default="")


class ForceCircuitSerializer(StrictSerializer):
    """Which breaker of a kind is held, how, why, and until when."""

    dependency = NameField(max_length=MAX_DEPENDENCY_CHARACTERS, required=False, allow_blank=True, default="")
    state = serializers.ChoiceField(
        choices=["open", "closed"], help_text="`open`: its jobs wait. `closed`: they run, whatever fails."
    )
    reason = NameField(max_length=REASON_LIMIT)
    until = MomentField(required=False, allow_null=True, default=None, help_text="Absent or null: a person ends it.")
