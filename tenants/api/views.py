"""`tenants/me/` and `audit-log/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.serializers import (
    AuditLogEntrySerializer,
    OptionalReasonSerializer,
    ReasonSerializer,
    TenantSerializer,
)
from tenants.api.viewsets import TenantViewSet
from tenants.models import AuditLogEntry, Tenant
from tenants.permissions import Permission
from tenants.services.tenants import pause_tenant, resume_tenant


class OwnTenantViewSet(TenantViewSet):
    """The tenant that the caller acts for."""

    model = Tenant
    serializer_class = TenantSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "retrieve": Permission.TENANT_VIEW,
        "pause": Permission.TENANT_PAUSE,
        "resume": Permission.TENANT_PAUSE,
    }
    pagination_class = None
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="tenants_me_retrieve")
    def retrieve(self, request: Request) -> Response:
        """Show the tenant, its plan and its limits."""
        return Response(self.get_serializer(self.tenant).data)

    @extend_schema(operation_id="tenants_me_pause", request=ReasonSerializer)
    def pause(self, request: Request) -> Response:
        """Hold the tenant's own work back: it is accepted and waits."""
        return self._answer(pause_tenant(tenant=self.tenant, reason=self._reason(ReasonSerializer)))

    @extend_schema(operation_id="tenants_me_resume", request=OptionalReasonSerializer)
    def resume(self, request: Request) -> Response:
        """Let the tenant's work go on."""
        return self._answer(resume_tenant(tenant=self.tenant, reason=self._reason(OptionalReasonSerializer)))

    def _reason(self, serializer_class: type[ReasonSerializer | OptionalReasonSerializer]) -> str:
        body = serializer_class(data=self.request.data)
        body.is_valid(raise_exception=True)
        return str(body.validated_data["reason"])

    def _answer(self, tenant: Tenant) -> Response:
        return Response(self.get_serializer(tenant).data)


class AuditLogFilter(django_filters.FilterSet):
    """By act, target, actor and time."""

    action = django_filters.CharFilter()
    target_type = django_filters.CharFilter()
    target_id = django_filters.CharFilter()
    actor_kind = django_filters.CharFilter()
    created_after = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditLogEntry
        fields: ClassVar[list[str]] = []


class AuditLogViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """What people, keys and commands have done to the tenant, newest first."""

    model = AuditLogEntry
    serializer_class = AuditLogEntrySerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"list": Permission.AUDIT_VIEW, "retrieve": Permission.AUDIT_VIEW}
    filterset_class = AuditLogFilter
