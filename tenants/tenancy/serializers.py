"""Serializers of tenants and of audit entries."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.reverse import reverse

from tenants.api.input import MomentField, NameField, StrictSerializer
from tenants.models import AuditLogEntry, Tenant


class NoBodySerializer(StrictSerializer):
    """An empty request body."""


class PlanSummarySerializer(serializers.Serializer[Any]):
    """A tenant's plan, with its weight and limits."""

    slug = serializers.CharField()
    name = serializers.CharField()
    tier = serializers.CharField(source="tier_id")
    weight = serializers.IntegerField()
    max_waiting_jobs = serializers.IntegerField()
    submits_per_minute = serializers.IntegerField()
    worker_seconds_per_month = serializers.IntegerField()
    max_priority = serializers.IntegerField()
    retry_rules = serializers.DictField(help_text="The plan's retry rules by kind; `*` is every kind.")
    limits = serializers.SerializerMethodField()

    def get_limits(self, plan: Any) -> dict[str, int]:
        return {limit.key: limit.value for limit in plan.limits.all()}


class TenantSerializer(serializers.ModelSerializer[Tenant]):
    """A tenant, as its members and API keys see it."""

    plan = PlanSummarySerializer(read_only=True)
    # A string, not an enumeration: plug-ins have fields of this name with other choices.
    status = serializers.CharField(read_only=True, help_text="`active` or `suspended`.")
    max_concurrency = serializers.IntegerField(source="concurrency_cap", read_only=True)
    usage = serializers.SerializerMethodField(help_text="The URL of all limits and their usage.")

    class Meta:
        model = Tenant
        fields = [
            "id",
            "slug",
            "name",
            "plan",
            "status",
            "status_reason",
            "is_paused",
            "pause_reason",
            "paused_until",
            "is_paused_by_platform",
            "suspended_until",
            "is_draining",
            "drain_reason",
            "draining_until",
            "is_draining_by_platform",
            "max_concurrency",
            "usage",
            "created_at",
        ]
        read_only_fields = fields

    def get_usage(self, tenant: Tenant) -> str:
        return str(reverse("usage-list", request=self.context.get("request")))


class TenantStopsSerializer(serializers.Serializer[Tenant]):
    """A tenant, as platform staff see it: with its suspension, pause and drain, their actors and their ends."""

    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    plan = serializers.CharField(source="plan.slug")
    status = serializers.CharField(help_text="`active` or `suspended`.")
    status_reason = serializers.CharField()
    suspended_by = serializers.CharField()
    suspended_at = serializers.DateTimeField(allow_null=True)
    suspended_until = serializers.DateTimeField(allow_null=True)
    is_paused = serializers.BooleanField()
    pause_reason = serializers.CharField()
    paused_by = serializers.CharField()
    paused_at = serializers.DateTimeField(allow_null=True)
    paused_until = serializers.DateTimeField(allow_null=True)
    is_paused_by_platform = serializers.BooleanField()
    is_draining = serializers.BooleanField()
    drain_reason = serializers.CharField()
    draining_by = serializers.CharField()
    draining_at = serializers.DateTimeField(allow_null=True)
    draining_until = serializers.DateTimeField(allow_null=True)
    is_draining_by_platform = serializers.BooleanField()
    drained_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class StopSerializer(StrictSerializer):
    """Request body: the reason to stop a tenant's work, and when the stop ends automatically."""

    reason = NameField(max_length=500)
    until = MomentField(
        required=False, allow_null=True, default=None, help_text="Absent or null: until it is ended manually."
    )


class SuspensionSerializer(StopSerializer):
    """Request body of a suspension: its reason, its end, and whether running jobs are cancelled."""

    cancel_running = serializers.BooleanField(required=False, default=False)


class WhySerializer(StrictSerializer):
    """Request body: an optional reason, for the audit log."""

    reason = NameField(max_length=500, required=False, allow_blank=True, default="")


class ReasonSerializer(StrictSerializer):
    """Request body: a required reason, for the audit log."""

    reason = NameField(max_length=500)


class AuditLogEntrySerializer(serializers.ModelSerializer[AuditLogEntry]):
    """An audit entry, and its seal if it has one."""

    before = serializers.DictField(read_only=True, allow_null=True)
    after = serializers.DictField(read_only=True, allow_null=True)
    sequence = serializers.IntegerField(
        source="seal.sequence", read_only=True, default=None, allow_null=True, help_text="Null until it is sealed."
    )
    sealed_at = serializers.DateTimeField(source="seal.sealed_at", read_only=True, default=None, allow_null=True)
    hash = serializers.CharField(source="seal.hash", read_only=True, default=None, allow_null=True)

    class Meta:
        model = AuditLogEntry
        fields = [
            "id",
            "at",
            "actor_kind",
            "actor_id",
            "actor_label",
            "action",
            "target_type",
            "target_id",
            "before",
            "after",
            "reason",
            "request_id",
            "sequence",
            "sealed_at",
            "hash",
        ]
        read_only_fields = fields
