"""Executions as they are answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.selectors.history import EXECUTION_STATES, ExecutionRecord


class ExecutionErrorSerializer(serializers.Serializer[ExecutionRecord]):
    """What ended an execution."""

    type = serializers.CharField(source="error_type")
    message = serializers.CharField(source="error_message")


class ExecutionSerializer(serializers.Serializer[ExecutionRecord]):
    """One hand-out of a job to a worker."""

    id = serializers.UUIDField()
    job = serializers.UUIDField(source="job_id")
    number = serializers.IntegerField()
    kind = serializers.CharField()
    state = serializers.ChoiceField(choices=EXECUTION_STATES, help_text="In flight, or how it ended.")
    worker = serializers.UUIDField(source="worker_id", allow_null=True)
    dispatched_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    seconds = serializers.FloatField(allow_null=True, help_text="Measured slot time.")
    peak_memory_kib = serializers.IntegerField(allow_null=True, help_text="Most resident memory of its process.")
    error = serializers.SerializerMethodField()

    @extend_schema_field(ExecutionErrorSerializer(allow_null=True))
    def get_error(self, record: ExecutionRecord) -> Any:
        return ExecutionErrorSerializer(record).data if record.error_type else None


class ExecutionDetailSerializer(ExecutionSerializer):
    """One execution with its traceback."""

    traceback = serializers.CharField()
