"""Console pages of the rules of approvals."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy

from scheduling.approvals.configured import APPROVAL_RULES
from scheduling.configuration.admin import ConfiguredAdmin
from tenants.access.permissions import Permission
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.models import ApprovalRule


@admin.register(ApprovalRule, site=console_site)
class ApprovalRuleAdmin(ConfiguredAdmin):
    """Which acts need a second person."""

    configured = APPROVAL_RULES
    view_permission = Permission.PEOPLE_VIEW
    add_permission = change_permission = Permission.PEOPLE_MANAGE
    list_display = ("act", "above", "hours")
    ordering = ("act",)
    sortable_by = ()
    empty_title = gettext_lazy("No approval rules")
    empty_text = gettext_lazy("Without rules no act needs a second person.")

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("From then on the act needs no second person."),
        permission=Permission.PEOPLE_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: ApprovalRule, reason: str) -> HttpResponse:
        return self.delete_row(request, row, reason)
