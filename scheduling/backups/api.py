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
from tenants.access.permissions import Permission
from tenants.api.input import MomentField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import StaffViewSet


class BackupSerializer(serializers.Serializer[Backup]):
    """A backup, with its last verification."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.CharField(help_text="`backup`, or `snapshot` of states.")
    target = serializers.CharField()
    plan = serializers.CharField(source="plan.name", allow_null=True, default=None)
    state = serializers.CharField(help_text="`stored`, `failed` or `deleted`.")
    taken_at = MomentField()
    seconds = serializers.FloatField(help_text="How long it took to make it.")
    size_bytes = serializers.IntegerField()
    row_count = serializers.IntegerField()
    file_count = serializers.IntegerField()
    error = serializers.CharField()
    verified_at = MomentField(allow_null=True, help_text="Null: no drill has restored it.")
    rpo_seconds = serializers.FloatField(source="loss_seconds", allow_null=True, help_text="Its age at the drill.")
    rto_seconds = serializers.FloatField(
        source="restore_seconds", allow_null=True, help_text="How long the drill took to restore and check it."
    )
    faults = serializers.ListField(child=serializers.CharField(), help_text="Faults that the drill found.")


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
