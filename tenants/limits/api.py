"""The `usage/` endpoint: a tenant's limits and usage; platform staff set and clear overrides there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.input import MomentField, NameField, StrictSerializer, WholeNumberField
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.limits.declared import MAX_LIMIT_VALUE, LimitPeriod, LimitState, Source
from tenants.limits.service import clear_tenant_limit, set_tenant_limit
from tenants.limits.usage_queries import Usage, UsageLine, read_usage
from tenants.models import TenantUsage


class UsageLineSerializer(serializers.Serializer[UsageLine]):
    """One limit of a tenant and its usage."""

    key = serializers.CharField(source="limit.key")
    title = serializers.CharField(source="limit.title")
    unit = serializers.CharField(source="limit.unit")
    counts = serializers.CharField(source="limit.counts", help_text="The counted quantity.")
    enforced_at = serializers.CharField(source="limit.enforced_at")
    period = serializers.ChoiceField(source="limit.span", choices=[span.value for span in LimitPeriod])
    used = serializers.IntegerField(allow_null=True, help_text="null: each request or job is checked by itself.")
    allowed = serializers.IntegerField(allow_null=True, help_text="null: no limit.")
    left = serializers.IntegerField(allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True, help_text="When the whole limit is free again.")
    state = serializers.ChoiceField(choices=[state.value for state in LimitState], help_text="`near` from 80 %.")
    source = serializers.ChoiceField(choices=[source.value for source in Source], help_text="The source of the limit.")
    override_expires_at = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField(help_text="What the number excludes, such as while Redis is away; usually empty.")


class LimitWarningSerializer(serializers.Serializer[Any]):
    """A warning that the tenant has used this percentage of a limit this month."""

    key = serializers.CharField()
    percent = serializers.IntegerField()
    at = serializers.DateTimeField()


# One object, although its action is called `list`.
@extend_schema_serializer(many=False)
class UsageSerializer(serializers.Serializer[Usage]):
    """All limits of a tenant with their usage. A month is a calendar month in UTC."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    limits = UsageLineSerializer(source="lines", many=True)
    warnings = LimitWarningSerializer(many=True)


class LimitOverrideSerializer(StrictSerializer):
    """Request body of an override: the tenant's value of a limit in place of its plan's."""

    value = WholeNumberField(min_value=0, max_value=MAX_LIMIT_VALUE, help_text="In the limit's own unit.")
    reason = NameField(max_length=500)
    expires_at = MomentField(
        default=None, allow_null=True, help_text="The plan's limit applies again from this time on."
    )


class LimitClearingSerializer(StrictSerializer):
    """Request body: the reason why an override is cleared."""

    reason = NameField(max_length=500)


class UsageViewSet(Unpaged, TenantViewSet):
    """Limits and usage of the tenant that the caller acts for."""

    model = TenantUsage
    serializer_class = UsageSerializer
    export_rows = "limits"
    lookup_field = "key"
    lookup_value_regex = r"[a-z_]{1,50}(?:\.[a-z_]{1,49})?"
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.TENANT_VIEW,
        "override": Permission.TENANTS_MANAGE,
        "clear": Permission.TENANTS_MANAGE,
    }

    @extend_schema(operation_id="usage_retrieve", responses=UsageSerializer)
    def list(self, request: Request) -> Response:
        """Return every limit: how much is used, allowed and left, and when it resets."""
        return self._answer()

    @extend_schema(operation_id="usage_override", request=LimitOverrideSerializer, responses=UsageSerializer)
    @action(detail=True, methods=["post"])
    def override(self, request: Request, key: str) -> Response:
        """Override a limit of the tenant's plan. It takes effect within a second."""
        body = LimitOverrideSerializer.of(request.data)
        set_tenant_limit(tenant=self.tenant, key=key, **body.validated_data)
        return self._answer()

    @extend_schema(operation_id="usage_clear", request=LimitClearingSerializer, responses=UsageSerializer)
    @action(detail=True, methods=["post"])
    def clear(self, request: Request, key: str) -> Response:
        """Clear the override of a limit, so that the plan's limit applies again."""
        body = LimitClearingSerializer.of(request.data)
        clear_tenant_limit(tenant=self.tenant, key=key, reason=body.validated_data["reason"])
        return self._answer()

    def _answer(self) -> Response:
        return Response(UsageSerializer(read_usage(self.tenant.pk)).data)
