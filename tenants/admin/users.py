"""Accounts in the console: who may log in."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tenants.admin.base import PlatformStaffAdmin
from tenants.permissions import Permission
from tenants.services.audit import AuditTarget, record_audit


class LoggedAdmin(PlatformStaffAdmin):
    """Rows of Django or of others, which have no services: the audit entries are written where Django logs."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:
        record_audit(action=f"{self.opts.model_name}.created", target=obj, after={"name": str(obj)})

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:
        record_audit(action=f"{self.opts.model_name}.changed", target=obj, after={"name": str(obj), "what": message})

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        target = AuditTarget(type=self.opts.label_lower)
        names = [str(row) for row in queryset]
        record_audit(action=f"{self.opts.model_name}.deleted", target=target, before={"names": names})

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        return [{"fields": list(form.changed_data)}]


class AccountAdmin(LoggedAdmin):
    """Accounts, which belong to the platform."""

    view_permission = Permission.PEOPLE_VIEW
    add_permission = change_permission = Permission.PEOPLE_MANAGE


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AccountAdmin):  # type: ignore[misc, type-arg] # differs in names of parameters only
    """People who log in. A superuser is platform staff; staff alone opens the console."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_filter = ()
