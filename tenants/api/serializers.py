"""What of tenants and their audit log goes out."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.reverse import reverse

from tenants.models import AuditLogEntry, Tenant


class PlanSummarySerializer(serializers.Serializer[Any]):
    """The plan of a tenant and what it grants."""

    slug = serializers.CharField()
    name = serializers.CharField()
    tier = serializers.CharField(source="tier_id")
    weight = serializers.IntegerField()
    max_waiting_jobs = serializers.IntegerField()
    submits_per_minute = serializers.IntegerField()
    worker_seconds_per_month = serializers.IntegerField()
    max_priority = serializers.IntegerField()
    limits = serializers.SerializerMethodField()

    def get_limits(self, plan: Any) -> dict[str, int]:
        return {limit.key: limit.value for limit in plan.limits.all()}


class TenantSerializer(serializers.ModelSerializer[Tenant]):
    """A tenant as it sees itself."""

    plan = PlanSummarySerializer(read_only=True)
    # A string and no enumeration in the schema: plug-ins have fields of this name with choices of their own.
    status = serializers.CharField(read_only=True, help_text="`active` or `suspended`.")
    max_concurrency = serializers.IntegerField(source="concurrency_cap", read_only=True)
    usage = serializers.SerializerMethodField(help_text="Where every limit and its usage is shown.")

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
            "max_concurrency",
            "usage",
            "created_at",
        ]
        read_only_fields = fields

    def get_usage(self, tenant: Tenant) -> str:
        return str(reverse("usage-list", request=self.context.get("request")))


class ReasonSerializer(serializers.Serializer[Any]):
    """Why something is done."""

    reason = serializers.CharField(max_length=500)


class OptionalReasonSerializer(serializers.Serializer[Any]):
    """Why something is done, if there is something to say."""

    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class AuditLogEntrySerializer(serializers.ModelSerializer[AuditLogEntry]):
    """One act of a person, a key or a command."""

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
