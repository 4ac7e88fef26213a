"""The console page of a tenant's settings, built from the declarations of the installed apps."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from tenants.access.permissions import Permission
from tenants.console.base import ReadOnlyAdmin
from tenants.console.site import console_site
from tenants.exceptions import DomainError, SettingsStaleError
from tenants.identity.step_up import ask_for_factor
from tenants.models import Tenant, TenantSettings
from tenants.settings.forms import SettingsForm, setting_rows
from tenants.settings.schema import effective_values, orphaned_keys, read_stored, setting_groups
from tenants.settings.service import change_settings

LISTED_TENANTS = 100


@admin.register(TenantSettings, site=console_site)
class TenantSettingsAdmin(ReadOnlyAdmin):
    """Admin page of tenants' settings: members see their tenant's page, platform staff choose a tenant first."""

    view_permission = Permission.TENANT_VIEW

    def get_urls(self) -> list[URLPattern]:
        page = self.guard(require_http_methods(["GET", "HEAD", "POST"])(self.settings_view), Permission.TENANT_VIEW)
        return [path("of/<uuid:tenant_id>/", page, name="tenants_tenantsettings_of"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the settings of the request's tenant, or a list of tenants to choose from."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        tenant = self.access(request).tenant
        if tenant is not None:
            return self._show(request, tenant.pk)
        wanted = request.GET.get("q", "").strip()
        tenants = Tenant.objects.filter(slug__contains=wanted) if wanted else Tenant.objects.all()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "tenants": tenants.order_by("slug")[:LISTED_TENANTS],
            "wanted": wanted,
        }
        return TemplateResponse(request, "tenants/admin/settings_choose.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Changes are possible on the tenant's page only.
        if request.method not in {"GET", "HEAD"} or not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404(gettext("There are no settings with this id."))
        return self._show(request, row.tenant_id)

    def settings_view(self, request: HttpRequest, tenant_id: UUID) -> HttpResponse:
        """Show the settings page of a tenant; on POST, save the changed settings and redirect to the page."""
        return self._show(request, tenant_id, sent=request.POST if request.method == "POST" else None)

    def _show(self, request: HttpRequest, tenant_id: UUID, *, sent: QueryDict | None = None) -> HttpResponse:
        may_edit, may_edit_all = map(self.access(request).may, (Permission.TENANT_MANAGE, Permission.TENANTS_MANAGE))
        # Before any look-up of rows, as everywhere.
        if sent is not None and not may_edit:
            raise PermissionDenied
        if sent is not None and may_edit_all and (asked := ask_for_factor(request, Permission.TENANTS_MANAGE)):
            return asked
        tenant = Tenant.objects.select_related("plan").filter(pk=tenant_id).first()
        if tenant is None:
            raise Http404(gettext("There is no such tenant."))
        row = read_stored(tenant.pk)
        form = SettingsForm(
            sent,
            values=effective_values(row.stored),
            may_edit_all=may_edit_all,
            is_frozen=not may_edit,
            initial={"version": row.version},
        )
        if sent is not None and form.is_valid() and self._save(request, tenant, form):
            return HttpResponseRedirect(request.path)
        return self._page(request, tenant, row, form, may_edit=may_edit)

    def _save(self, request: HttpRequest, tenant: Tenant, form: SettingsForm) -> bool:
        """Return whether the change was stored; show a refusal beside the fields that it names."""
        try:
            change_settings(
                tenant=tenant,
                values=form.changes(),
                reset=form.resets(),
                version=form.cleaned_data["version"],
                reason=form.cleaned_data["reason"],
                by_platform=self.access(request).may(Permission.TENANTS_MANAGE),
            )
        except SettingsStaleError:
            form.tell_stale(read_stored(tenant.pk).version)
            return False
        except DomainError as refusal:
            named = [fault for fault in refusal.errors if fault.get("field") in form.fields]
            for fault in named:
                form.add_error(fault["field"], fault["detail"])
            if not named:
                form.add_error(None, refusal.detail)
            return False
        messages.success(request, gettext("The settings are saved."))
        return True

    def _page(
        self, request: HttpRequest, tenant: Tenant, row: TenantSettings, form: SettingsForm, *, may_edit: bool
    ) -> HttpResponse:
        context = {
            "title": gettext("Settings of %(tenant)s") % {"tenant": tenant},
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "tenant": tenant,
            "form": form,
            "groups": [(group.title, setting_rows(group, form, row.stored)) for group in setting_groups()],
            "orphaned": orphaned_keys(row.stored),
            "may_edit": may_edit,
        }
        status = 422 if form.errors else 200
        return TemplateResponse(request, "tenants/admin/settings.html", context, status=status)
