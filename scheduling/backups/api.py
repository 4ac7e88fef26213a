"""API of `backups/` and `backup-plans/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin

from scheduling.backups.models import Backup
from scheduling.backups.plans import BACKUP_PLANS
from scheduling.configuration.api import ConfiguredViewSet
from scheduling.configuration.serializers import ColumnsSerializer
from tenants.access.permissions import Permission
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import StaffViewSet


class BackupSerializer(ColumnsSerializer):
    """A backup with what its last drill found, or a snapshot of states."""

    plan = serializers.CharField(source="plan.name", allow_null=True, default=None)
    state = serializers.CharField(help_text="`running`, `stored`, `failed` or `deleted`.")

    class Meta:
        model = Backup
        fields = ("id", "kind", "name", "target", "plan", "state", "taken_at", "seconds", "size_bytes", "row_count",
                  "file_count", "error", "verified_at", "loss_seconds", "restore_seconds", "faults")  # fmt: skip


class BackupViewSet(ListModelMixin, StaffViewSet):
    """Backups, the newest first."""

    model = Backup
    serializer_class = BackupSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {"list": Permission.PLATFORM_VIEW}

    @extend_schema(operation_id="backups_list")
    def list(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """List the backups."""
        return super().list(request, *args, **kwargs)


class BackupPlanViewSet(ConfiguredViewSet):
    """When backups are made, where they are kept, for how long, and how old the newest may be."""

    path, configured = "backup-plans", BACKUP_PLANS
    permission_classes = StaffViewSet.permission_classes
    views, changes = Permission.PLATFORM_VIEW, Permission.BACKUPS_MANAGE
