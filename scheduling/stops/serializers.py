"""Serializers of pauses and drains, kinds, pools and workers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from scheduling.models import KindCost, Resource, Worker
from scheduling.stops.queries import Stop, TargetState
from tenants.api.input import MomentField, NameField, StrictSerializer, WholeNumberField
from tenants.tenancy.regions import REGION_LENGTH


class StopRequestSerializer(StrictSerializer):
    """Request to pause or drain: the reason, and an optional end."""

    reason = NameField(max_length=200)
    until = MomentField(
        required=False, allow_null=True, default=None, help_text="Absent or null: until a person ends it."
    )


def resources_field(*, help_text: str) -> serializers.ListField:
    """Return an optional field of the names of resources."""
    help_text = f"{help_text} Names: {', '.join(f'`{name}`' for name in Resource.values)}."
    # Services check the names.
    return serializers.ListField(
        child=NameField(max_length=6), max_length=len(Resource), required=False, help_text=help_text
    )


class PoolChangeSerializer(StrictSerializer):
    """Request to change some settings of a worker pool."""

    description = NameField(max_length=200, required=False, allow_blank=True)
    region = NameField(
        max_length=REGION_LENGTH,
        required=False,
        allow_blank=True,
        help_text="Where its workers run; cannot be changed while it has workers or jobs in flight.",
    )
    memory_mib = WholeNumberField(required=False, help_text="Memory of each child: 256, 512 or 1024. Default: 1024.")
    resource_class = NameField(max_length=3, required=False, help_text="`cpu` or `io`. Default: `cpu`.")
    offers = resources_field(
        help_text="What its queues and their kinds may need. Empty, or absent from a new pool or a change of class: "
        "`cpu` and `memory`, or `io`."
    )
    rate_milli = WholeNumberField(
        required=False, help_text="Share of slot time that is charged, in thousandths, 1 to 1,000. Default: 1,000."
    )
    reason = NameField(max_length=500, required=False, allow_blank=True, default="")


class NewPoolSerializer(PoolChangeSerializer):
    """Request to add a worker pool."""

    name = NameField(max_length=40, help_text="Lower-case letters, digits, hyphens and underscores; cannot be changed.")


class PauseSerializer(serializers.Serializer[Stop]):
    """Current pause of a target."""

    reason = serializers.CharField()
    by = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)


class DrainSerializer(PauseSerializer):
    """Current drain of a target, with the remaining jobs and how fast they end."""

    drained_at = serializers.DateTimeField(allow_null=True, help_text="When no jobs were left.")
    waiting = serializers.IntegerField(help_text="Jobs that have not started; of a kind, at most 10,001 are counted.")
    in_flight = serializers.IntegerField()
    per_minute = serializers.FloatField(help_text="Jobs that ended in the last five minutes, a minute.")
    eta_seconds = serializers.FloatField(allow_null=True, help_text="Null while no jobs end.")


class TargetSerializer(serializers.Serializer[TargetState]):
    """A kind or pool with its pause and its drain, each null if there is none."""

    name = serializers.CharField()
    is_paused = serializers.BooleanField()
    is_draining = serializers.BooleanField()
    pause = PauseSerializer(allow_null=True)
    drain = serializers.SerializerMethodField()

    @extend_schema_field(DrainSerializer(allow_null=True))
    def get_drain(self, state: TargetState) -> Any:
        return drain_facts(state)


class PoolSerializer(TargetSerializer):
    """A worker pool with its pause, its drain and its settings."""

    region = serializers.SerializerMethodField(help_text="Where its workers run; empty: unknown.")
    memory_mib = serializers.SerializerMethodField()
    resource_class = serializers.SerializerMethodField()
    offers = serializers.SerializerMethodField(help_text="What its queues and their kinds may need.")
    rate_milli = serializers.SerializerMethodField(help_text="Share of slot time that is charged, in thousandths.")

    def get_region(self, state: TargetState) -> str:
        return str(self.context["pools"][state.name].region)

    def get_memory_mib(self, state: TargetState) -> int:
        return int(self.context["pools"][state.name].memory_mib)

    def get_resource_class(self, state: TargetState) -> str:
        return str(self.context["pools"][state.name].resource_class)

    def get_offers(self, state: TargetState) -> list[str]:
        return list(self.context["pools"][state.name].offers)

    def get_rate_milli(self, state: TargetState) -> int:
        return int(self.context["pools"][state.name].rate_milli)


class KindCostSerializer(serializers.Serializer[KindCost]):
    """Recent mean cost of a kind's jobs, and how accurate its predictions are."""

    mean_seconds = serializers.SerializerMethodField()
    samples = serializers.IntegerField(help_text="Number of samples of the predictor.")
    mean_error = serializers.FloatField(
        allow_null=True, help_text="Mean absolute error of the last predictions, as a part of the measured slot time."
    )
    bias = serializers.FloatField(allow_null=True, help_text="Signed mean error; above 0, predictions are too high.")

    def get_mean_seconds(self, cost: KindCost) -> float:
        return cost.mean_us / 1_000_000


class KindSerializer(TargetSerializer):
    """A job kind with its pause, its drain and its cost."""

    cost = serializers.SerializerMethodField()

    @extend_schema_field(KindCostSerializer(allow_null=True))
    def get_cost(self, state: TargetState) -> Any:
        cost = self.context["costs"].get(state.name)
        return None if cost is None else KindCostSerializer(cost).data


def drain_facts(state: TargetState) -> Any:
    """Return the drain of a state with its progress as JSON data of `DrainSerializer`, or None if it does not drain."""
    if state.drain is None or state.progress is None:
        return None
    facts = {name: getattr(state.drain, name) for name in ("reason", "by", "since", "until", "drained_at")}
    facts |= {name: getattr(state.progress, name) for name in ("waiting", "in_flight", "per_minute", "eta_seconds")}
    return DrainSerializer(facts).data


class WorkerSerializer(serializers.Serializer[Worker]):
    """A worker: a parent process whose child processes run jobs."""

    id = serializers.UUIDField()
    pool = serializers.CharField(source="pool.name")
    hostname = serializers.CharField()
    pid = serializers.IntegerField()
    slots = serializers.IntegerField()
    version = serializers.CharField()
    # A string instead of an enumeration in the schema: other resources have fields of this name with other choices.
    status = serializers.CharField(help_text="`online`, `draining`, `stopping` or `stopped`.")
    running = serializers.IntegerField(help_text="Running executions.")
    started_at = serializers.DateTimeField()
    heartbeat_at = serializers.DateTimeField()
    stopped_at = serializers.DateTimeField(allow_null=True)
