"""Queues as the platform's people see them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.api.serializers.stops import DrainSerializer, PauseSerializer, drain_facts
from scheduling.models import Queue
from scheduling.selectors.queue_lines import QueueLine
from tenants.api.fields import NameField, NumberField, StrictSerializer, WholeNumberField

WITHOUT_CONSUMER = "Set while the queue has work, or rules that point at it, and no live worker reads it."


class NewQueueSerializer(StrictSerializer):
    """A queue to be added; what is not given is as the model has it."""

    name = NameField(max_length=60, help_text="Lower-case letters, digits, hyphens and underscores; it stays.")
    pool = NameField(max_length=40, help_text="Name of the pool whose workers read it; it stays.")
    description = NameField(max_length=200, required=False, allow_blank=True)
    weight = WholeNumberField(required=False, help_text="Share of the pool beside its other queues, 1 to 1,000.")
    cap = WholeNumberField(required=False, allow_null=True, help_text="Messages in flight at most.")
    dispatches_per_minute = WholeNumberField(required=False, allow_null=True, help_text="Jobs handed out at most.")
    dispatch_burst = WholeNumberField(required=False, allow_null=True, help_text="Of them at once.")
    resource_class = NameField(max_length=12, required=False, help_text="`cpu`, `io` or `cpu+memory`.")
    expected_seconds = NumberField(required=False, help_text="Cost assumed for a kind that has not run yet.")
    reason = NameField(max_length=500, required=False, allow_blank=True, default="")


class QueueSerializer(serializers.Serializer[Queue]):
    """A queue's settings."""

    name = serializers.CharField()
    description = serializers.CharField()
    pool = serializers.CharField(source="pool.name")
    resource_class = serializers.CharField(help_text="`cpu`, `io` or `cpu+memory`.")
    expected_seconds = serializers.FloatField(help_text="Cost assumed for a kind that has not run yet.")
    weight = serializers.IntegerField(help_text="Unless the active CFS plan says otherwise.")
    cap = serializers.IntegerField(allow_null=True, help_text="Messages in flight at most.")
    dispatches_per_minute = serializers.IntegerField(allow_null=True, help_text="Jobs handed out at most.")
    dispatch_burst = serializers.IntegerField(allow_null=True, help_text="Of them at once.")
    is_paused = serializers.BooleanField()
    pause_reason = serializers.CharField()
    without_consumer_since = serializers.DateTimeField(
        source="standing.unread_since", default=None, allow_null=True, help_text=WITHOUT_CONSUMER
    )
    is_draining = serializers.SerializerMethodField()
    pause = serializers.SerializerMethodField()
    drain = serializers.SerializerMethodField()

    def get_is_draining(self, queue: Queue) -> bool:
        return bool(self.context["state"].is_draining)

    @extend_schema_field(PauseSerializer(allow_null=True))
    def get_pause(self, queue: Queue) -> Any:
        pause = self.context["state"].pause
        return None if pause is None else PauseSerializer(pause).data

    @extend_schema_field(DrainSerializer(allow_null=True))
    def get_drain(self, queue: Queue) -> Any:
        return drain_facts(self.context["state"])


class QueueNumbersSerializer(serializers.Serializer[QueueLine]):
    """A queue with its numbers over all tenants; what ended did so in the last minutes."""

    name = serializers.CharField(source="queue.name")
    pool = serializers.CharField(source="queue.pool.name")
    weight = serializers.IntegerField(source="queue.weight", help_text="Unless the active CFS plan says otherwise.")
    cap = serializers.IntegerField(source="queue.cap", allow_null=True, help_text="Messages in flight at most.")
    is_paused = serializers.BooleanField(source="queue.is_paused")
    pause_reason = serializers.CharField(source="queue.pause_reason")
    without_consumer_since = serializers.DateTimeField(
        source="queue.standing.unread_since", default=None, allow_null=True, help_text=WITHOUT_CONSUMER
    )
    waiting = serializers.IntegerField(help_text="Ready, due and held jobs.")
    oldest_seconds = serializers.FloatField(allow_null=True, help_text="How long the oldest ready job has waited.")
    dispatched = serializers.IntegerField()
    executing = serializers.IntegerField()
    completed = serializers.IntegerField(source="ended.completed")
    failed = serializers.IntegerField(source="ended.failed")
    completed_per_minute = serializers.FloatField(source="per_minute")
    wait_p50_seconds = serializers.FloatField(
        source="ended.wait_p50",
        allow_null=True,
        help_text="From when a job could run to its first start; of a histogram.",
    )
    wait_p95_seconds = serializers.FloatField(source="ended.wait_p95", allow_null=True)
    wait_p99_seconds = serializers.FloatField(source="ended.wait_p99", allow_null=True)
    retries_waiting = serializers.IntegerField(source="back_offs.waiting")
