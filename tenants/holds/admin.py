"""Admin pages of legal holds. They are placed on the page of a tenant."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy

from tenants.access.permissions import Permission
from tenants.console.base import PlatformStaffAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.holds.service import release_hold
from tenants.models import LegalHold


@admin.register(LegalHold, site=console_site)
class LegalHoldAdmin(PlatformStaffAdmin):
    """Admin page of legal holds, the newest first."""

    view_permission = Permission.PLATFORM_VIEW
    is_named_by_id = True
    list_display = ("id", "tenant", "reason", "placed_by", "placed_at", "released_by", "released_at")
    list_select_related = ("tenant",)
    fields = list_display
    readonly_fields = fields
    ordering = ("-pk",)
    sortable_by = ()
    post_actions = ("release",)
    empty_title = gettext_lazy("No legal holds")
    empty_text = gettext_lazy("A hold keeps all data of a tenant. Place one on the tenant's page.")

    @post_action(
        label=gettext_lazy("Release"),
        consequence=gettext_lazy("Retention deletes what is older than it allows, unless another hold keeps it."),
        permission=Permission.TENANTS_MANAGE,
        asks_reason=True,
        is_danger=True,
        is_offered=lambda hold: hold.released_at is None,
    )
    def release(self, request: HttpRequest, hold: LegalHold, reason: str) -> str:
        release_hold(hold_id=hold.pk, reason=reason)
        return gettext("The hold is released.")
