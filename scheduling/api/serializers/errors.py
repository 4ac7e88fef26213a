"""Errors of a tenant as they are answered, and the range they are asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from scheduling.api.filters import QuerySerializer
from scheduling.selectors.errors import ErrorGroup, ErrorOccurrence
from tenants.api.fields import MomentField

DEFAULT_RANGE = timedelta(days=1)


class ErrorQuerySerializer(QuerySerializer):
    """The time range; by default the last 24 hours."""

    created_after = MomentField(default=None, help_text="Inclusive; by default a day before the end.")
    created_before = MomentField(default=None, help_text="Exclusive; by default now.")

    def to_range(self) -> dict[str, Any]:
        """The range as the selectors take it."""
        until = self.validated_data["created_before"] or timezone.now() + timedelta(minutes=5)
        return {"since": self.validated_data["created_after"] or until - DEFAULT_RANGE, "until": until}


class ErrorGroupSerializer(serializers.Serializer[ErrorGroup]):
    """Errors that differ in details only."""

    fingerprint = serializers.CharField()
    tenant = serializers.UUIDField(source="tenant_id")
    kinds = serializers.ListField(child=serializers.CharField())
    type = serializers.CharField()
    message = serializers.CharField(help_text="Of the newest one, its beginning.")
    count = serializers.IntegerField(help_text="Within the range.")
    first_at = serializers.DateTimeField(help_text="Within the range.")
    last_at = serializers.DateTimeField()
    job = serializers.UUIDField(source="job_id", help_text="The newest one's.")


# One object, though its action is called `list`.
@extend_schema_serializer(many=False)
class ErrorGroupsSerializer(serializers.Serializer[Any]):
    """The groups of a range, most frequent first."""

    results = ErrorGroupSerializer(many=True, source="groups")
    is_capped = serializers.BooleanField(help_text="There are more errors than are counted: the newest 10,000.")


class ErrorOccurrenceSerializer(serializers.Serializer[ErrorOccurrence]):
    """One error of one job."""

    id = serializers.UUIDField(source="error.id")
    job = serializers.UUIDField(source="error.job_id")
    execution = serializers.UUIDField(source="error.execution_id", allow_null=True)
    kind = serializers.CharField(source="error.kind")
    type = serializers.CharField(source="error.error_type")
    message = serializers.CharField(source="error.error_message")
    at = serializers.DateTimeField(source="error.at")
    traceback = serializers.CharField(help_text="Empty without the right `logs.view`.")
    dead_letter = serializers.UUIDField(source="dead_letter.id", default=None, allow_null=True)


class ErrorOccurrencesSerializer(serializers.Serializer[Any]):
    """The newest occurrences of one fingerprint in a range."""

    results = ErrorOccurrenceSerializer(many=True)
    has_more = serializers.BooleanField(help_text="Older ones are found with an earlier `created_before`.")
