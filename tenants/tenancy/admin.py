"""Admin pages of tenants."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST

from tenants.access.people_queries import find_user_roles
from tenants.access.permissions import Permission
from tenants.console.base import TenantScopedAdmin
from tenants.console.post_actions import post_action, until_of
from tenants.console.site import console_site
from tenants.erasure.requests import request_erasure
from tenants.limits.admin import override_address, usage_panel
from tenants.middleware import choose_tenant
from tenants.models import Tenant, TenantStatus
from tenants.tenancy.service import (
    create_tenant,
    drain_tenant,
    pause_tenant,
    reinstate_tenant,
    resume_tenant,
    suspend_tenant,
    update_tenant,
)


@admin.register(Tenant, site=console_site)
class TenantAdmin(TenantScopedAdmin):
    """Admin page of tenants: the platform creates, changes and suspends them; members see and may pause their own."""

    empty_title = gettext_lazy("No tenants yet")
    empty_text = gettext_lazy("Jobs belong to tenants. Add one above, or run “manage.py create_tenant”.")
    view_permission = Permission.TENANT_VIEW
    add_permission = change_permission = Permission.TENANTS_MANAGE
    list_display = ("slug", "name", "plan", "status", "is_paused", "created_at")
    list_select_related = ("plan",)
    list_before_template = "tenants/admin/choose_tenant.html"
    change_form_outer_after_template = "tenants/admin/usage.html"
    search_fields = ("slug", "name")
    post_actions = ("pause", "drain", "resume", "suspend", "reinstate", "erase")
    fields = (
        "slug",
        "name",
        "plan",
        "weight_factor",
        "max_concurrency",
        "status",
        "status_reason",
        "is_paused",
        "pause_reason",
        "is_paused_by_platform",
        "is_draining",
        "drain_reason",
        "is_draining_by_platform",
        "created_at",
    )
    readonly_fields = fields[fields.index("status") :]

    def get_fields(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        return self.fields if obj else ("slug", "name", "plan")

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        return ("slug", *self.readonly_fields) if obj else ()

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        values = form.cleaned_data
        if change:
            update_tenant(tenant=obj, changes={name: values[name] for name in form.changed_data})
        else:
            created = create_tenant(slug=values["slug"], name=values["name"], plan=values["plan"])
            obj.pk = created.pk

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        tenant = context.get("original")
        if tenant is not None:
            may_override = self.access(request).may(Permission.TENANTS_MANAGE)
            panel = usage_panel(tenant)
            context |= {**panel, "may_override": may_override, "override_address": override_address(tenant.pk)}
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        choose = self.guard(require_POST(self.choose_view), Permission.TENANT_VIEW)
        return [path("choose/", choose, name="tenants_tenant_choose"), *super().get_urls()]

    def choose_view(self, request: HttpRequest) -> HttpResponse:
        """Switch the console to another tenant that the user is a member of."""
        for membership in find_user_roles(request.user).memberships:
            if membership.tenant.slug == request.POST.get("tenant"):
                choose_tenant(request, membership)
                return HttpResponseRedirect(reverse("admin:index"))
        messages.error(request, gettext("You are not a member of such a tenant."))
        return HttpResponseRedirect(reverse("admin:tenants_tenant_changelist"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        memberships = find_user_roles(request.user).memberships
        response: HttpResponse = super().changelist_view(request, {**(extra_context or {}), "memberships": memberships})
        return response

    @post_action(
        label=gettext_lazy("Pause work"),
        consequence=gettext_lazy(
            "None of its jobs starts until work is resumed. Running jobs end as usual, and new ones are accepted."
        ),
        permission=Permission.TENANT_PAUSE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda tenant: not tenant.is_paused,
    )
    def pause(self, request: HttpRequest, tenant: Tenant, reason: str) -> str:
        pause_tenant(tenant=tenant, reason=reason, until=until_of(request))
        return gettext("%(tenant)s is paused: its jobs wait.") % {"tenant": tenant}

    @post_action(
        label=gettext_lazy("Drain"),
        consequence=gettext_lazy("None of its jobs starts; the page says when the last one has ended."),
        permission=Permission.TENANT_PAUSE,
        asks_reason=True,
        asks_until=True,
        is_offered=lambda tenant: not tenant.is_draining,
    )
    def drain(self, request: HttpRequest, tenant: Tenant, reason: str) -> str:
        drain_tenant(tenant=tenant, reason=reason, until=until_of(request))
        return gettext("%(tenant)s is draining: new jobs are refused, existing ones run.") % {"tenant": tenant}

    @post_action(
        label=gettext_lazy("Resume work"),
        permission=Permission.TENANT_PAUSE,
        is_offered=lambda tenant: tenant.is_paused or tenant.is_draining,
    )
    def resume(self, request: HttpRequest, tenant: Tenant, reason: str) -> str:
        tenant = resume_tenant(tenant=tenant)
        if tenant.is_paused or tenant.is_draining:
            return gettext("%(tenant)s is still stopped by the platform; its own stop has ended.") % {"tenant": tenant}
        return gettext("%(tenant)s is resumed: its jobs run again.") % {"tenant": tenant}

    @post_action(
        label=gettext_lazy("Suspend"),
        consequence=gettext_lazy(
            "None of its jobs is accepted or dispatched until it is reinstated. Running jobs continue."
        ),
        permission=Permission.TENANTS_OPERATE,
        asks_reason=True,
        asks_until=True,
        is_danger=True,
        is_offered=lambda tenant: tenant.status != TenantStatus.SUSPENDED,
    )
    def suspend(self, request: HttpRequest, tenant: Tenant, reason: str) -> str:
        suspend_tenant(tenant=tenant, reason=reason, until=until_of(request))
        return gettext("%(tenant)s is suspended.") % {"tenant": tenant}

    @post_action(
        label=gettext_lazy("Reinstate"),
        permission=Permission.TENANTS_OPERATE,
        is_offered=lambda tenant: tenant.status == TenantStatus.SUSPENDED,
    )
    def reinstate(self, request: HttpRequest, tenant: Tenant, reason: str) -> str:
        reinstate_tenant(tenant=tenant)
        return gettext("%(tenant)s is active again.") % {"tenant": tenant}

    @post_action(
        label=gettext_lazy("Erase permanently"),
        consequence=gettext_lazy(
            "After a waiting time, in which it can be cancelled, all of its data is deleted for ever."
        ),
        permission=Permission.TENANTS_ERASE,
        asks_reason=True,
        asks_slug=True,
        is_danger=True,
        is_offered=lambda tenant: tenant.status == TenantStatus.SUSPENDED,
    )
    def erase(self, request: HttpRequest, tenant: Tenant, reason: str) -> str:
        erasure = request_erasure(tenant=tenant, reason=reason, confirm=request.POST.get("confirm", ""))
        return gettext("%(tenant)s will be erased at %(starts_at)s UTC; until then the erasure can be cancelled.") % {
            "tenant": tenant,
            "starts_at": f"{erasure.starts_at:%Y-%m-%d %H:%M}",
        }
