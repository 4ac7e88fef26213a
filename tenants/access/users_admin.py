"""Admin pages of user accounts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tenants.access.locked_names import locked_until, unlock_user
from tenants.access.people import activate_user, deactivate_user
from tenants.access.permissions import Permission
from tenants.audit.service import MASK, AuditTarget, record_audit
from tenants.console.base import PlatformStaffAdmin
from tenants.console.links import tenant_link
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.models import Membership, PlatformMembership

SHOWN_MEMBERSHIPS = 20


class LoggedAdmin(PlatformStaffAdmin):
    """Base admin of models that have no service functions: it writes audit entries where Django would log a change."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:
        """Write the audit entry of a new row, instead of Django's log entry."""
        record_audit(action=f"{self.opts.model_name}.created", target=obj, after={"name": str(obj)})

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:
        """Write the audit entry of a changed row, instead of Django's log entry."""
        (changed,) = message
        record_audit(
            action=f"{self.opts.model_name}.changed",
            target=obj,
            before={"name": str(obj), **changed["before"]},
            after={"name": str(obj), **changed["after"]},
        )

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Write the audit entry of deleted rows, instead of Django's log entries."""
        target = AuditTarget(type=self.opts.label_lower)
        names = [str(row) for row in queryset]
        record_audit(action=f"{self.opts.model_name}.deleted", target=target, before={"names": names})

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Return the changed fields with their values before and after; values of hidden fields are masked."""
        names = form.changed_data
        # A field that is not the model's, such as a new password, has no former value.
        return [
            {
                "fields": list(names),
                "before": {name: self._as_audited(name, form.initial.get(name)) for name in names},
                "after": {name: self._as_audited(name, form.cleaned_data.get(name, "changed")) for name in names},
            }
        ]

    def _as_audited(self, name: str, value: Any) -> Any:
        return MASK if name in self.hidden_fields else _as_plain(value)


def _as_plain(value: Any) -> Any:
    if isinstance(value, list | tuple | QuerySet):
        return [_as_plain(held) for held in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


class AccountAdmin(LoggedAdmin):
    """Base admin of models that belong to the platform's accounts; it requires the `people.*` permissions."""

    view_permission = Permission.PEOPLE_VIEW
    add_permission = change_permission = Permission.PEOPLE_MANAGE


console_site.unregister(get_user_model())
console_site.unregister(Group)


@admin.register(get_user_model(), site=console_site)
class UserAdmin(DjangoUserAdmin, AccountAdmin):  # type: ignore[misc, type-arg] # differs in names of parameters only
    """Admin page of user accounts.

    A user's permissions come from platform roles and memberships, never from Django's flags.
    """

    empty_title = gettext_lazy("No accounts yet")
    empty_text = gettext_lazy(
        "People log in with accounts of their own. Add one above, or run “manage.py create_platform_admin”."
    )

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "platform_role", "tenants", "is_active", "last_login")
    list_filter = ()
    filter_horizontal = ()
    post_actions = ("deactivate", "activate", "unlock")
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        (gettext_lazy("Permissions"), {"fields": ("platform_role", "memberships")}),
        (gettext_lazy("Log-ins"), {"fields": ("is_active", "locked", "last_login", "date_joined")}),
    )
    readonly_fields = ("platform_role", "memberships", "is_active", "locked", "last_login", "date_joined")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        places = Membership.objects.filter(user_id=OuterRef("pk")).order_by().values("user_id")
        count = Subquery(places.annotate(number=Count("pk")).values("number"))
        users = super().get_queryset(request).select_related("platform_membership")
        counted: QuerySet[Any] = users.annotate(tenant_count=Coalesce(count, 0))
        return counted

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        if not self.has_change_permission(request):
            raise PermissionDenied
        return super().user_change_password(request, id, form_url)

    @admin.display(description=gettext_lazy("Platform role"))
    def platform_role(self, user: Any) -> str:
        if user.is_superuser:
            return gettext("admin (superuser)")
        membership: PlatformMembership | None = getattr(user, "platform_membership", None)
        return membership.role if membership else "–"

    @admin.display(description=gettext_lazy("Tenants"), ordering="tenant_count")
    def tenants(self, user: Any) -> int:
        return int(user.tenant_count)

    @admin.display(description=gettext_lazy("Memberships"))
    def memberships(self, user: Any) -> SafeString | str:
        rows = Membership.objects.select_related("tenant").filter(user_id=user.pk).order_by("tenant__slug")
        shown = ((tenant_link(row.tenant.slug), str(row.get_role_display()).lower()) for row in rows[:SHOWN_MEMBERSHIPS])
        return format_html_join(", ", "{} ({})", shown) or gettext("none")

    @admin.display(description=gettext_lazy("Locked out"))
    def locked(self, user: Any) -> str:
        until = locked_until(user)
        return (
            gettext("until %(until)s UTC, after too many wrong passwords") % {"until": f"{until:%Y-%m-%d %H:%M}"}
            if until
            else gettext("no")
        )

    @post_action(
        label=gettext_lazy("Deactivate"),
        consequence=gettext_lazy("The sessions end, and the person cannot log in until activated again."),
        permission=Permission.PEOPLE_MANAGE,
        asks_reason=True,
        is_danger=True,
        is_offered=lambda user: user.is_active,
    )
    def deactivate(self, request: HttpRequest, user: Any, reason: str) -> str:
        deactivate_user(user=user, reason=reason)
        return gettext("%(user)s is logged out everywhere and cannot log in.") % {"user": user}

    @post_action(
        label=gettext_lazy("Activate"),
        consequence=gettext_lazy("The person can log in again."),
        permission=Permission.PEOPLE_MANAGE,
        asks_reason=True,
        is_offered=lambda user: not user.is_active,
    )
    def activate(self, request: HttpRequest, user: Any, reason: str) -> str:
        activate_user(user=user, reason=reason)
        return gettext("%(user)s can log in again.") % {"user": user}

    @post_action(
        label=gettext_lazy("Unlock"),
        consequence=gettext_lazy("The person can try to log in again at once."),
        permission=Permission.PEOPLE_MANAGE,
        asks_reason=True,
        is_offered=lambda user: locked_until(user) is not None,
    )
    def unlock(self, request: HttpRequest, user: Any, reason: str) -> str:
        unlock_user(user=user, reason=reason)
        return gettext("The failed log-ins of %(user)s are deleted.") % {"user": user}
