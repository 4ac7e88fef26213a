"""The audit log in the console: read, and nothing else."""

from __future__ import annotations

from django.contrib import admin

from tenants.admin.base import ReadOnlyAdmin
from tenants.models import AuditLogEntry
from tenants.permissions import Permission


@admin.register(AuditLogEntry)
class AuditLogEntryAdmin(ReadOnlyAdmin):
    """What people, keys and commands have done, newest first."""

    view_permission = Permission.AUDIT_VIEW
    list_display = ("at", "action", "target_type", "target_id", "actor_kind", "actor_label", "reason")
    search_fields = ("=target_id", "=action", "=request_id")
    search_help_text = "The id of a target, an action or the id of a request, whole."
    ordering = ("-id",)
    sortable_by = ()
