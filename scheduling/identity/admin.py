"""Console pages of claim rules."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy

from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.identity.configured import CLAIM_RULES
from tenants.access.permissions import Permission
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.models import ClaimRule


@admin.register(ClaimRule, site=console_site)
class ClaimRuleAdmin(ConfiguredAdmin):
    """Which claims of the OpenID Connect provider give which roles."""

    configured = CLAIM_RULES
    view_permission = Permission.PEOPLE_VIEW
    add_permission = change_permission = Permission.PEOPLE_MANAGE
    list_display = ("claim", "value", "tenant", "role")
    list_display_links = ("claim", "value")
    ordering = ("claim", "value")
    sortable_by = ()
    empty_title = gettext_lazy("No claim rules")
    empty_text = gettext_lazy("Without rules no account of the OpenID Connect provider can sign in.")

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("Who has the role by this rule loses it at the next sign-in."),
        permission=Permission.PEOPLE_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: ClaimRule, reason: str) -> HttpResponse:
        return self.delete_row(request, row, reason)
