"""API of `fairness/`: slots used and entitled to over time, virtual times, and dispatch decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import QuerySerializer, QueryTextField
from scheduling.exceptions import QueueNotFoundError
from scheduling.models import Queue, ShareMinute
from scheduling.shares.decisions import Decision, read_decisions
from scheduling.shares.history import HistorySpan, ShareHistory, ShareLine, read_share_history
from scheduling.shares.verdicts import EntitlementState
from scheduling.shares.virtual_times import QueueTimes, VirtualTime, read_virtual_times
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.limits.declared import LIST


class QueuesQuerySerializer(QuerySerializer):
    """Query parameters that choose queues; without them all queues are included."""

    pool = QueryTextField(help_text="The queues of one pool.")
    queue = QueryTextField(help_text="One queue.")

    def to_queues(self) -> list[Queue] | None:
        """Return the chosen queues, or None for all; raise QueueNotFoundError if none match."""
        pool, queue = self.validated_data["pool"], self.validated_data["queue"]
        if pool is None and queue is None:
            return None
        rows = Queue.objects.select_related("pool").order_by("name")
        rows = rows.filter(pool__name=pool) if pool is not None else rows
        rows = rows.filter(name=queue) if queue is not None else rows
        found = list(rows)
        if not found:
            raise QueueNotFoundError("There is no such queue.")
        return found


class FairnessQuerySerializer(QueuesQuerySerializer):
    """Query parameters of the fairness history: the time span and the queues."""

    range = serializers.ChoiceField(choices=[span.value for span in HistorySpan], default=HistorySpan.HOUR.value)

    @property
    def span(self) -> HistorySpan:
        return HistorySpan(self.validated_data["range"])


class ShareLineSerializer(serializers.Serializer[ShareLine]):
    """Slots of one tenant, in lists with one number for each bin. Without platform rights only `used` has values."""

    tenant = serializers.UUIDField(source="tenant_id")
    slug = serializers.CharField()
    name = serializers.CharField()
    plan = serializers.CharField(source="plan_name")
    cap = serializers.IntegerField(help_text="The tenant's limit of jobs in flight.")
    used_slots = serializers.FloatField(help_text="Mean over the time in which the tenant used or wanted slots.")
    entitled_slots = serializers.FloatField(
        allow_null=True, help_text="Mean over the time in which the tenant used or wanted slots."
    )
    ratio = serializers.FloatField(
        allow_null=True,
        help_text="Used over entitled while backlogged; 1 is exactly fair. Null before a minute of backlog.",
    )
    verdict = serializers.CharField(source="verdict.value", help_text=f"{', '.join(EntitlementState)}.")
    lag_us = serializers.IntegerField(
        allow_null=True, help_text="Microseconds of slot time behind its ideal share now; negative is ahead."
    )
    used = serializers.ListField(child=serializers.FloatField(), help_text="Slots in use.")
    entitled = serializers.ListField(child=serializers.FloatField(), help_text="Slots it was entitled to at that time.")
    backlogged = serializers.ListField(
        child=serializers.FloatField(), help_text="Part of the bin in which it was backlogged."
    )


class VirtualTimeSerializer(serializers.Serializer[VirtualTime]):
    """Virtual time of a tenant that is eligible in a queue."""

    tenant = serializers.UUIDField(source="tenant_id")
    name = serializers.CharField()
    ahead_us = serializers.IntegerField(help_text="Above the queue's virtual time, in slot time at weight 1.")
    weight = serializers.FloatField()
    in_flight = serializers.IntegerField()
    waiting = serializers.IntegerField()


class QueueTimesSerializer(serializers.Serializer[QueueTimes]):
    """A queue's eligible tenants in the order of their virtual times; the first is served next."""

    queue = serializers.CharField(source="queue.name")
    tenants = VirtualTimeSerializer(many=True)


# One object, though its action is called `list`.
@extend_schema_serializer(many=False)
class ShareHistorySerializer(serializers.Serializer[ShareHistory]):
    """Slots that tenants used and were entitled to over time."""

    since = serializers.DateTimeField(help_text="Start of the first bin.")
    bin_seconds = serializers.IntegerField()
    sampled_at = serializers.DateTimeField(allow_null=True, help_text="Time of a dispatcher's last sample.")
    is_fair = serializers.SerializerMethodField(
        help_text="Whether the active plan shares slots fairly; otherwise order of arrival."
    )
    jain = serializers.ListField(
        child=serializers.FloatField(allow_null=True), help_text="Jain's index by bin; null without competition."
    )
    tenants = ShareLineSerializer(many=True, source="lines")
    virtual_times = serializers.SerializerMethodField(help_text="By queue; only for platform staff.")

    def get_is_fair(self, history: ShareHistory) -> bool:
        return not history.is_off

    @extend_schema_field(QueueTimesSerializer(many=True))
    def get_virtual_times(self, history: ShareHistory) -> Any:
        return QueueTimesSerializer(self.context["virtual_times"], many=True).data


class DecisionSerializer(serializers.Serializer[Decision]):
    """One dispatch of a job, with the virtual times that decided that it was next."""

    execution = serializers.UUIDField(source="execution_id")
    job = serializers.UUIDField(source="job_id")
    queue = serializers.SerializerMethodField()
    kind = serializers.CharField()
    number = serializers.IntegerField(help_text="Number of this dispatch of the job, from 1.")
    state = serializers.CharField(help_text="Phase of the execution, or its outcome.")
    dispatched_at = serializers.DateTimeField()
    waited_seconds = serializers.FloatField(allow_null=True, help_text="Set for the first dispatch.")
    predicted_us = serializers.IntegerField()
    measured_us = serializers.IntegerField(allow_null=True)
    level = serializers.CharField(
        source="facts.level",
        help_text="Level that decided: queue, tenant or key; empty without an alternative. Only for platform staff.",
    )
    reason = serializers.CharField(
        source="facts.reason",
        help_text="Why it was next at that level; empty in older events. Only for platform staff.",
    )
    in_flight = serializers.IntegerField(
        source="facts.in_flight", allow_null=True, help_text="Of the tenant, at that time."
    )
    waiting = serializers.IntegerField(
        source="facts.waiting", allow_null=True, help_text="Jobs of the tenant, at that time."
    )
    start_tag = serializers.IntegerField(
        source="facts.start_tag", allow_null=True, help_text="Only for platform staff."
    )
    runner_up_us = serializers.IntegerField(
        source="facts.runner_up_us",
        allow_null=True,
        help_text="By how much the next tenant's virtual time was later. Only for platform staff.",
    )
    queue_start_tag = serializers.IntegerField(
        source="facts.queue_start_tag", allow_null=True, help_text="Only for platform staff."
    )
    queue_runner_up_us = serializers.IntegerField(
        source="facts.queue_runner_up_us",
        allow_null=True,
        help_text="By how much the next queue's virtual time was later.",
    )
    key_start_tag = serializers.IntegerField(
        source="facts.key_start_tag", allow_null=True, help_text="Set if the tenant has keys."
    )
    key_runner_up_us = serializers.IntegerField(
        source="facts.key_runner_up_us",
        allow_null=True,
        help_text="By how much the virtual time of the tenant's next key was later.",
    )

    def get_queue(self, decision: Decision) -> str:
        return str(self.context["queue_names"].get(decision.queue_id, ""))


class DecisionsSerializer(serializers.Serializer[Any]):
    """A tenant's last 50 dispatches, newest first."""

    results = DecisionSerializer(many=True)


class FairnessViewSet(Unpaged, TenantViewSet):
    """Slots that tenants used and were entitled to; a tenant sees only its own use."""

    model = ShareMinute
    serializer_class = ShareHistorySerializer
    export_rows = "tenants"
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "decisions": Permission.JOBS_VIEW,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"decisions": LIST}

    @extend_schema(
        operation_id="fairness_retrieve", parameters=[FairnessQuerySerializer], responses=ShareHistorySerializer
    )
    def list(self, request: Request) -> Response:
        """Return the slots that each tenant used and was entitled to, over time."""
        query = FairnessQuerySerializer.parse(request.query_params)
        queues = query.to_queues()
        history = read_share_history(query.span, queues=queues)
        times = read_virtual_times(list(Queue.objects.order_by("name")) if queues is None else queues)
        return Response(ShareHistorySerializer(history, context={"virtual_times": times}).data)

    @extend_schema(operation_id="fairness_decisions", parameters=[QueuesQuerySerializer], responses=DecisionsSerializer)
    @action(detail=False, methods=["get"])
    def decisions(self, request: Request) -> Response:
        """List the tenant's last 50 dispatches with the virtual times that decided them."""
        queues = QueuesQuerySerializer.parse(request.query_params).to_queues()
        found = read_decisions(self.tenant.pk, queues=queues)
        names = dict(Queue.objects.values_list("pk", "name"))
        return Response(DecisionsSerializer({"results": found}, context={"queue_names": names}).data)
