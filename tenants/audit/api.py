"""The `audit-log/` endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin

from tenants.access.permissions import Permission
from tenants.api.filters import StrictFilterBackend
from tenants.api.viewsets import TenantViewSet
from tenants.audit.export import describe_entry
from tenants.audit.queries import AuditFilter
from tenants.models import AuditLogEntry
from tenants.tenancy.serializers import AuditLogEntrySerializer


class AuditLogFilter(django_filters.FilterSet):
    """Filters of audit entries by action, target, actor, request and time."""

    action = django_filters.CharFilter()
    target_type = django_filters.CharFilter()
    target_id = django_filters.CharFilter()
    actor_kind = django_filters.CharFilter()
    actor_id = django_filters.CharFilter()
    actor_label = django_filters.CharFilter()
    request_id = django_filters.CharFilter()
    created_after = django_filters.IsoDateTimeFilter(method="after_moment", help_text="Inclusive.")
    created_before = django_filters.IsoDateTimeFilter(method="before_moment", help_text="Exclusive.")

    class Meta:
        model = AuditLogEntry
        fields: ClassVar[list[str]] = []

    def after_moment(self, queryset: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        return AuditFilter(at_or_after=value).apply(queryset)

    def before_moment(self, queryset: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        return AuditFilter(before=value).apply(queryset)


class ExportedEntrySerializer(serializers.BaseSerializer[AuditLogEntry]):
    """An entry in a file: all hashed fields, and its seal."""

    def to_representation(self, instance: AuditLogEntry) -> dict[str, Any]:
        return describe_entry(instance)


class AuditLogViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Audit entries of the tenant, newest first."""

    model = AuditLogEntry
    serializer_class = AuditLogEntrySerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.AUDIT_VIEW,
        "retrieve": Permission.AUDIT_VIEW,
    }
    export_permission = Permission.AUDIT_EXPORT
    filterset_class = AuditLogFilter
    filter_backends: ClassVar[list[Any]] = [StrictFilterBackend]

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("seal")

    def get_serializer_class(self) -> Any:
        """Return the serializer of the list; the one of an export has all hashed fields."""
        return ExportedEntrySerializer if self.is_export else super().get_serializer_class()
