"""API of `queues/`: queues with their load, pauses and drains, for platform staff."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.models import Queue
from scheduling.stops.api import EDIT, OPERATE, StoppableViewSet
from scheduling.stops.serializers import (
    DrainSerializer,
    PauseSerializer,
    StopRequestSerializer,
    drain_facts,
    resources_field,
)
from scheduling.stops.service import StopScope
from scheduling.topology.queries import get_queue
from scheduling.topology.queue_rows import QueueRow, read_queue_rows
from scheduling.topology.service import create_queue, update_queue
from tenants.api.editions import etag_headers
from tenants.api.input import NameField, NumberField, StrictSerializer, WholeNumberField
from tenants.context import all_tenants
from tenants.tenancy.serializers import WhySerializer

WITHOUT_CONSUMER = "Set while the queue has work or routing rules and no live worker consumes it."


class QueueChangeSerializer(StrictSerializer):
    """Request to change some settings of a queue."""

    description = NameField(max_length=200, required=False, allow_blank=True)
    weight = WholeNumberField(required=False, help_text="Share of the pool beside its other queues, 1 to 1,000.")
    cap = WholeNumberField(required=False, allow_null=True, help_text="Maximum number of messages in flight.")
    dispatches_per_minute = WholeNumberField(
        required=False, allow_null=True, help_text="Maximum number of dispatched jobs a minute."
    )
    dispatch_burst = WholeNumberField(required=False, allow_null=True, help_text="Maximum burst of dispatched jobs.")
    needs = resources_field(help_text="What its pool must offer; empty or absent: the pool's resource class.")
    expected_seconds = NumberField(required=False, help_text="Cost assumed for a kind that has not run yet.")
    reason = NameField(max_length=500, required=False, allow_blank=True, default="")


class NewQueueSerializer(QueueChangeSerializer):
    """Request to add a queue; omitted fields get their defaults."""

    name = NameField(max_length=60, help_text="Lower-case letters, digits, hyphens and underscores; cannot be changed.")
    pool = NameField(max_length=40, help_text="Name of the pool that consumes it; cannot be changed.")


class QueueSerializer(serializers.Serializer[Queue]):
    """A queue with its settings."""

    name = serializers.CharField()
    description = serializers.CharField()
    pool = serializers.CharField(source="pool.name")
    needs = serializers.ListField(child=serializers.CharField(), help_text="What its pool must offer.")
    expected_seconds = serializers.FloatField(help_text="Cost assumed for a kind that has not run yet.")
    weight = serializers.IntegerField(help_text="Unless the active CFS plan overrides it.")
    cap = serializers.IntegerField(allow_null=True, help_text="Maximum number of messages in flight.")
    dispatches_per_minute = serializers.IntegerField(
        allow_null=True, help_text="Maximum number of dispatched jobs a minute."
    )
    dispatch_burst = serializers.IntegerField(allow_null=True, help_text="Maximum burst of dispatched jobs.")
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


class QueueNumbersSerializer(serializers.Serializer[QueueRow]):
    """A queue with its load over all tenants; completed and failed jobs are those of the last ten minutes at most."""

    name = serializers.CharField(source="queue.name")
    pool = serializers.CharField(source="queue.pool.name")
    weight = serializers.IntegerField(source="queue.weight", help_text="Unless the active CFS plan overrides it.")
    cap = serializers.IntegerField(
        source="queue.cap", allow_null=True, help_text="Maximum number of messages in flight."
    )
    is_paused = serializers.BooleanField(source="queue.is_paused")
    pause_reason = serializers.CharField(source="queue.pause_reason")
    without_consumer_since = serializers.DateTimeField(
        source="queue.standing.unread_since", default=None, allow_null=True, help_text=WITHOUT_CONSUMER
    )
    waiting = serializers.IntegerField(help_text="Ready, due and held jobs.")
    oldest_seconds = serializers.FloatField(allow_null=True, help_text="Wait of the oldest ready job.")
    dispatched = serializers.IntegerField()
    executing = serializers.IntegerField()
    completed = serializers.IntegerField(source="ended.completed")
    failed = serializers.IntegerField(source="ended.failed")
    completed_per_minute = serializers.FloatField(source="per_minute")
    wait_p50_seconds = serializers.FloatField(
        source="ended.wait_p50",
        allow_null=True,
        help_text="Time from when a job may run to its first start, from a histogram.",
    )
    wait_p95_seconds = serializers.FloatField(source="ended.wait_p95", allow_null=True)
    wait_p99_seconds = serializers.FloatField(source="ended.wait_p99", allow_null=True)
    retries_waiting = serializers.IntegerField(source="back_offs.waiting")
    empty_in_seconds = serializers.FloatField(
        allow_null=True,
        help_text="Until its jobs have ended, by predicted slot time and fair shares, if no more arrive; null: never.",
    )


@extend_schema_view(
    pause=extend_schema(operation_id="queues_pause", request=StopRequestSerializer, responses=QueueSerializer),
    resume=extend_schema(operation_id="queues_resume", request=WhySerializer, responses=QueueSerializer),
    drain=extend_schema(operation_id="queues_drain", request=StopRequestSerializer, responses=QueueSerializer),
)
class QueueViewSet(StoppableViewSet):
    """Queues, in which jobs of all tenants wait."""

    model = Queue
    scope = StopScope.QUEUE
    permissions = {**OPERATE, **EDIT}
    serializer_class = QueueSerializer
    lookup_value_regex = "[-a-zA-Z0-9_]{1,60}"

    @extend_schema(operation_id="queues_list", responses=QueueNumbersSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all queues with their load."""
        NoQuerySerializer.parse(request.query_params)
        # The numbers cover all tenants, even if staff named a tenant in the request.
        with all_tenants():
            lines = read_queue_rows()
        return Response({"next": None, "previous": None, "results": QueueNumbersSerializer(lines, many=True).data})

    @extend_schema(operation_id="queues_create", request=NewQueueSerializer, responses={201: QueueSerializer})
    def create(self, request: Request) -> Response:
        """Add a queue to a pool; the pool's workers consume it from their next heartbeat on."""
        values = dict(NewQueueSerializer.of(request.data).validated_data)
        name, pool, reason = values.pop("name"), values.pop("pool"), values.pop("reason")
        create_queue(name=name, pool=pool, values=values, reason=reason)
        return self.answer_new(name)

    @extend_schema(operation_id="queues_retrieve")
    def retrieve(self, request: Request, name: str) -> Response:
        """Return a queue with its settings, its pause and its drain."""
        return self.answer(name)

    @extend_schema(operation_id="queues_update", request=QueueChangeSerializer)
    def partial_update(self, request: Request, name: str) -> Response:
        """Change a queue; the next tick uses the new values."""
        values = dict(QueueChangeSerializer.of(request.data).validated_data)
        reason = values.pop("reason")
        update_queue(queue=self.begin_edit(lambda: get_queue(name)), changes=values, reason=reason)
        return self.answer(name)

    def answer(self, name: str) -> Response:
        queue = get_queue(name)
        shown = QueueSerializer(queue, context={"state": self.state_of(name)}).data
        return Response(shown, headers=etag_headers(queue))
