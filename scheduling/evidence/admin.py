"""Console pages of stored evidence packs and their schedules."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.console.filters import TenantFilter
from scheduling.evidence.api import download_response
from scheduling.evidence.models import EvidencePack, EvidenceSchedule
from scheduling.evidence.service import PACKS, SCHEDULES
from tenants.access.permissions import Permission
from tenants.console.post_actions import post_action
from tenants.console.site import console_site

_EXPORT = Permission.AUDIT_EXPORT
_DELETES: Any = {"label": gettext_lazy("Delete"), "permission": _EXPORT, "takes_reason": True, "is_danger": True}


@admin.register(EvidencePack, site=console_site)
class EvidencePackAdmin(ConfiguredAdmin):
    """Admin page of packs, the newest first."""

    configured = PACKS
    view_permission, add_permission, change_permission = Permission.AUDIT_VIEW, _EXPORT, _EXPORT
    list_display = ("id", "template", "since", "until", "state", "entries", "faults", "size_bytes", "requested_by")
    list_filter = (TenantFilter,)
    readonly_fields = ("state", "error", "entries", "faults", "size_bytes", "sha256", "requested_by", "requested_at")
    ordering = ("-pk",)
    sortable_by = ()
    post_actions = ("download", "delete")
    empty_title = gettext_lazy("No evidence packs yet")
    empty_text = gettext_lazy("Request one for a period, or add a schedule. Upkeep makes it within minutes.")

    @post_action(
        label=gettext_lazy("Download"),
        permission=_EXPORT,
        is_offered=lambda pack: pack.state == EvidencePack.State.STORED,
    )
    def download(self, request: HttpRequest, pack: EvidencePack, reason: str) -> Any:
        return download_response(pack)

    @post_action(consequence=gettext_lazy("It is deleted from the archive, too."), **_DELETES)
    def delete(self, request: HttpRequest, row: EvidencePack, reason: str) -> Any:
        return self.delete_row(request, row, reason)


@admin.register(EvidenceSchedule, site=console_site)
class EvidenceScheduleAdmin(ConfiguredAdmin):
    """Admin page of schedules."""

    configured = SCHEDULES
    view_permission, add_permission, change_permission = Permission.AUDIT_VIEW, _EXPORT, _EXPORT
    list_display = ("name", "template", "every", "group", "is_enabled")
    list_filter = (TenantFilter,)
    empty_title = gettext_lazy("No evidence schedules")
    empty_text = gettext_lazy("A schedule makes a pack of each month or quarter, and sends its link to contacts.")

    @post_action(
        consequence=gettext_lazy("It requests no further packs. Those that it has requested stay."), **_DELETES
    )
    def delete(self, request: HttpRequest, row: EvidenceSchedule, reason: str) -> Any:
        return self.delete_row(request, row, reason)
