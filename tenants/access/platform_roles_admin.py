"""Admin pages of platform roles."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.access.people import grant_platform_role, revoke_platform_role
from tenants.access.people_queries import find_user
from tenants.access.permissions import Permission
from tenants.console.base import PlatformStaffAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import UserNotFoundError
from tenants.models import PlatformMembership

USER_HELP = gettext_lazy("The user name or e-mail address of an account.")


class UserField(forms.CharField):
    """Form field that takes a user name or e-mail address and returns the user account.

    The name is typed, because a list of choices would reveal all accounts.
    """

    widget = UnfoldAdminTextInputWidget

    def __init__(self, *, max_length: int = 254, help_text: Any = USER_HELP, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, help_text=help_text, **kwargs)

    def clean(self, value: Any) -> Any:
        try:
            return find_user(super().clean(value))
        except UserNotFoundError as refusal:
            raise ValidationError(refusal.detail) from refusal


class PlatformRoleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a new platform role: user, role and reason."""

    username = UserField(
        label=gettext_lazy("Username"),
        help_text=format_lazy(
            "{} {}",
            USER_HELP,
            gettext_lazy("The platform role replaces the user's permissions as a member of tenants."),
        ),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("The reason, for the audit log."),
    )

    class Meta:
        model = PlatformMembership
        fields = ("role",)


class ChangedRoleForm(PlatformRoleForm):
    """Form that changes the role of an existing platform role; the user cannot be changed."""

    username = None  # type: ignore[assignment] # takes the field of the other form away


@admin.register(PlatformMembership, site=console_site)
class PlatformMembershipAdmin(PlatformStaffAdmin):
    """Admin page of platform roles. A change applies from the user's next request on.

    Superusers are admins of the platform without being listed.
    """

    view_permission = Permission.PEOPLE_VIEW
    add_permission = change_permission = Permission.PEOPLE_MANAGE
    list_display = ("user", "role", "created_at")
    list_select_related = ("user",)
    post_actions = ("revoke",)
    empty_title = gettext_lazy("No platform roles yet")
    empty_text = gettext_lazy("Superusers are admins without a role. Give operators and auditors their roles here.")

    def get_form(self, request: HttpRequest, obj: PlatformMembership | None = None, **kwargs: Any) -> Any:
        kwargs["form"] = PlatformRoleForm if obj is None else ChangedRoleForm
        return super().get_form(request, obj, **kwargs)

    def get_fields(self, request: HttpRequest, obj: PlatformMembership | None = None) -> Any:
        if obj is None:
            return ("username", "role", "reason")
        return ("user", "role", "reason", "created_at") if self.has_change_permission(request) else self.list_display

    def get_readonly_fields(self, request: HttpRequest, obj: PlatformMembership | None = None) -> tuple[str, ...]:
        return ("user", "created_at") if obj else ()

    def save_model(self, request: HttpRequest, obj: PlatformMembership, form: Any, change: bool) -> None:
        values = form.cleaned_data
        user = obj.user if change else values["username"]
        obj.pk = grant_platform_role(user=user, role=values["role"], reason=values["reason"]).pk
        obj.user = user

    @post_action(
        label=gettext_lazy("Revoke"),
        consequence=gettext_lazy("The person loses the rights of this role at once."),
        permission=Permission.PEOPLE_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def revoke(self, request: HttpRequest, membership: PlatformMembership, reason: str) -> str:
        revoke_platform_role(user=membership.user, reason=reason)
        return gettext("%(user)s no longer has a platform role.") % {"user": membership.user}

    def _page_of(self, row: Any) -> str:
        return reverse("admin:tenants_platformmembership_changelist")
