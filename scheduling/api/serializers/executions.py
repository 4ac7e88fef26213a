"""Executions and batches as they are answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.models import Batch
from scheduling.selectors.batches import count_states
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


class BatchSerializer(serializers.Serializer[Batch]):
    """Jobs that were asked for together."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    label = serializers.CharField()
    kind = serializers.CharField()
    total = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class BatchDetailSerializer(BatchSerializer):
    """A batch and how far its jobs are; the jobs themselves are at `jobs/?batch=`."""

    states = serializers.SerializerMethodField(help_text="Jobs by state; with `pruned` they add up to `total`.")
    pruned = serializers.IntegerField(help_text="Ended jobs that are kept no longer.")

    def get_states(self, batch: Batch) -> dict[str, int]:
        return count_states(batch)
