"""Console pages of claim rules and of tenants' roles."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.identity.configured import CLAIM_RULES, TENANT_ROLES
from tenants.access.permission_texts import text_of
from tenants.access.permissions import Permission
from tenants.access.roles import GRANTABLE
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.models import ClaimRule, TenantRole


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


@admin.register(TenantRole, site=console_site)
class TenantRoleAdmin(ConfiguredAdmin):
    """Admin page of the roles that a tenant makes of the named rights."""

    configured = TENANT_ROLES
    view_permission = Permission.MEMBERS_VIEW
    add_permission = change_permission = Permission.MEMBERS_MANAGE
    list_display = ("name", "rights_words", "queues", "kinds", "datasets")
    ordering = ("name",)
    readonly_fields = ("created_at",)
    empty_title = gettext_lazy("No roles of its own yet")
    empty_text = gettext_lazy("Make a role of single rights, for all jobs or for some queues, kinds or datasets.")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name != "rights":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        return forms.MultipleChoiceField(
            label=gettext_lazy("Rights"),
            choices=[
                (right.value, f"{right}: {gettext(text_of(right))}") for right in Permission if right in GRANTABLE
            ],
            widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        )

    @admin.display(description=gettext_lazy("Rights"))
    def rights_words(self, role: TenantRole) -> str:
        return ", ".join(role.rights)

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("The role is deleted. No member, invitation, key or claim rule may have it."),
        permission=Permission.MEMBERS_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: TenantRole, reason: str) -> HttpResponse:
        return self.delete_row(request, row, reason)
