"""Console page of controls, with what each would have held in the last hour."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy

from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.controls.models import ControlRule
from scheduling.controls.service import CONTROLS, preview_control
from tenants.access.permissions import Permission
from tenants.console.post_actions import post_action
from tenants.console.site import console_site


@admin.register(ControlRule, site=console_site)
class ControlRuleAdmin(ConfiguredAdmin):
    """Compliance rules that jobs are checked against."""

    configured = CONTROLS
    add_permission = change_permission = Permission.CONTROLS_MANAGE
    list_display = ("name", "checkpoint", "rule", "kind", "tenant", "is_enabled")
    readonly_fields = ("last_hour",)
    ordering = ("name",)
    sortable_by = ()
    empty_title = gettext_lazy("No controls")
    empty_text = gettext_lazy("Without controls no job is held or refused for its content, region or time.")

    @admin.display(description=gettext_lazy("In the last hour"))
    def last_hour(self, row: Any) -> str:
        """Return how many jobs the control would have held."""
        return preview_control(row).text

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("From then on it is not checked. Jobs that it holds stay held."),
        permission=Permission.CONTROLS_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: ControlRule, reason: str) -> HttpResponse:
        return self.delete_row(request, row, reason)
