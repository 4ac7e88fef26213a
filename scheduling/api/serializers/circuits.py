"""Circuit breakers as they are answered."""

from __future__ import annotations

from rest_framework import serializers

from scheduling.models import Circuit
from scheduling.models.circuits import STATE_CHOICES


class CircuitSerializer(serializers.Serializer[Circuit]):
    """The breaker of a tenant's jobs of one kind; there is none while nothing fails."""

    tenant = serializers.CharField(source="tenant.slug")
    kind = serializers.CharField()
    state = serializers.ChoiceField(choices=STATE_CHOICES)
    failures = serializers.IntegerField(help_text="In a row, of one fingerprint.")
    fingerprint = serializers.CharField()
    error_type = serializers.CharField()
    error_message = serializers.CharField(help_text="Of the last failure, its beginning.")
    opened_at = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True, help_text="When one job tries; null while none is to.")
