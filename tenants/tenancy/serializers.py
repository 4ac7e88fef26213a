"""Serializers of tenants and of audit entries."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.validators import EmailValidator
from django.utils.translation import gettext
from rest_framework import serializers
from rest_framework.reverse import reverse

from tenants.access.permissions import KEY_PERMISSIONS
from tenants.access.serializers import IssuedInvitationSerializer, IssuedKeySerializer
from tenants.api.input import MomentField, NameField, NumberField, StrictSerializer, WholeNumberField
from tenants.models import AuditLogEntry, Tenant, TenantStatus
from tenants.tenancy.provisioning import FIRST_KEY_SCOPES, NewTenant, ProvisionedTenant
from tenants.tenancy.regions import MOST_REGIONS, REGION_LENGTH


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
            "home_region",
            "allowed_regions",
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
    home_region = serializers.CharField(help_text="Empty: none.")
    allowed_regions = serializers.ListField(child=serializers.CharField(), help_text="Empty: all regions.")
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


class NewTenantSerializer(StrictSerializer):
    """Request body: a tenant to provision, its owner and its settings."""

    slug = NameField(max_length=50, help_text="Repeating a request with the same data returns the existing tenant.")
    plan = NameField(max_length=50, help_text="Its slug.")
    owner = NameField(
        max_length=254, validators=[EmailValidator()], help_text="The e-mail address that is invited as owner."
    )
    name = NameField(max_length=200, default="", allow_blank=True, help_text="Default: the slug.")
    settings = serializers.DictField(default=dict, help_text="Values of settings by key; others have their defaults.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=[(scope.value, scope.value) for scope in sorted(KEY_PERMISSIONS)]),
        default=list(FIRST_KEY_SCOPES),
        min_length=1,
        max_length=len(KEY_PERMISSIONS),
        help_text="Permissions of the first API key; default: submit, view and cancel jobs, and read their results.",
    )

    def described(self) -> NewTenant:
        """Return the validated data."""
        return NewTenant(**self.validated_data)


class ProvisionedTenantSerializer(serializers.Serializer[ProvisionedTenant]):
    """A provisioned tenant. The link and the key's token are null if the tenant existed before."""

    tenant = TenantStopsSerializer()
    invitation = IssuedInvitationSerializer(allow_null=True)
    api_key = IssuedKeySerializer(allow_null=True)


class TenantChangeSerializer(StrictSerializer):
    """Request body: new values of some fields of a tenant, with the reason for the audit log."""

    name = NameField(max_length=200, required=False)
    plan = NameField(max_length=50, required=False, help_text="Its slug.")
    weight_factor = NumberField(min_value=0.001, max_value=999, required=False)
    max_concurrency = WholeNumberField(
        min_value=0, max_value=2**31 - 1, required=False, allow_null=True, help_text="Null: the plan's number."
    )
    home_region = NameField(max_length=REGION_LENGTH, required=False, allow_blank=True, help_text="Empty: none.")
    allowed_regions = serializers.ListField(
        child=NameField(max_length=REGION_LENGTH),
        required=False,
        max_length=MOST_REGIONS,
        help_text="The regions whose pools may run its jobs, the nearest first; empty: all.",
    )
    # A string, not an enumeration: plug-ins have fields of this name with other choices.
    status = NameField(max_length=20, required=False, help_text="`suspended`, which needs a reason, or `active`.")
    reason = NameField(max_length=500, required=False, allow_blank=True, default="")

    def validate_weight_factor(self, value: float) -> Decimal:
        return Decimal(str(round(value, 3)))

    def validate_status(self, value: str) -> str:
        if value not in TenantStatus.values:
            raise serializers.ValidationError(gettext("It must be `active` or `suspended`."))
        return value


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
