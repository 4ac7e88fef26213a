"""Base of the console pages of rows that users configure."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from scheduling.configuration.service import Configured
from scheduling.console.help_texts import HelpfulMixin
from tenants.access.permissions import Permission
from tenants.console.base import TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.context import tenant_context


class ConfiguredAdmin(HelpfulMixin, TenantScopedAdmin):
    """Base of these pages: a form of the declared fields, whose values the service checks, stores and audits.

    Without a chosen tenant, platform staff create rows of the platform.
    """

    view_permission = Permission.JOBS_VIEW
    add_permission = change_permission = Permission.ALERTS_MANAGE
    configured: ClassVar[Configured[Any]]
    hidden_from_tenants: ClassVar[frozenset[str]] = frozenset()
    ordering: ClassVar[tuple[str, ...]] = ("pk",)
    post_actions: ClassVar[tuple[str, ...]] = ("delete",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related(*self.configured.joined)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        tenant = self.access(request).tenant
        fields = (
            self.configured.fields if obj is None or self.has_change_permission(request) else self.configured.columns
        )
        edited = tuple(name for name in fields if tenant is None or name not in self.hidden_from_tenants)
        if obj is None:
            return ("tenant", *edited) if self.configured.has_tenants and not tenant else edited
        return (*edited, *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        values, names = form.cleaned_data, list(self.configured.fields)
        if change:
            # The form has changed its own instance: the row is read again for the difference.
            row, names = self.configured.find(obj.pk), [name for name in names if name in form.changed_data]
        else:
            row = self.model()
        tenant = None if change else self.access(request).tenant or values.get("tenant")
        with tenant_context(tenant) if tenant else nullcontext():
            obj.pk = self.configured.save(row, {name: values[name] for name in names if name in values}).pk

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("It is deleted with the rows that depend on it."),
        permission=Permission.ALERTS_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: Any, reason: str) -> HttpResponse:
        return self.delete_row(request, row, reason)

    def delete_row(self, request: HttpRequest, row: Any, reason: str) -> HttpResponse:
        """Delete the row, say so, and return to the list."""
        self.configured.delete(row, reason=reason)
        self.message_user(request, gettext("%(row)s is deleted.") % {"row": row})
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))
