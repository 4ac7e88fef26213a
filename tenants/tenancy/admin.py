"""Admin pages of tenants: the list, the page of one tenant with its form behind it, and the form of a new one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminEmailInputWidget

from tenants.access.people_queries import find_user_roles
from tenants.access.permissions import Permission
from tenants.access.viewing import end_view, start_view
from tenants.console.base import TenantScopedAdmin
from tenants.console.links import invitation_link
from tenants.console.post_actions import post_action, until_of
from tenants.console.site import console_site
from tenants.erasure.requests import request_erasure
from tenants.holds.service import place_hold
from tenants.limits.admin import override_address, usage_panel
from tenants.middleware import choose_tenant
from tenants.models import Tenant, TenantStatus
from tenants.tenancy.page import PagePart, tenant_parts
from tenants.tenancy.provisioning import FIRST_KEY_SCOPES, NewTenant, ProvisionedTenant, provision_tenant
from tenants.tenancy.service import (
    drain_tenant,
    pause_tenant,
    reinstate_tenant,
    resume_tenant,
    suspend_tenant,
    update_tenant,
)
from tenants.url_prefixes import API_V1_PREFIX

# The parameter of the URL that opens the form behind a tenant's page.
EDIT = "edit"
# A first request with the address and the token.
_FIRST_JOB = (
    """curl {} -H "Authorization: Api-Key {}" -H "Content-Type: application/json" """
    """-d '{{"kind": "noop", "payload": {{}}}}'"""
)


class NewTenantForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a new tenant, with the address of its owner."""

    owner = forms.EmailField(
        label=gettext_lazy("Owner"),
        max_length=254,
        widget=UnfoldAdminEmailInputWidget(),
        help_text=gettext_lazy("E-mail address of the person who is invited as owner. No password is set here."),
    )

    class Meta:
        model = Tenant
        fields = ("slug", "name", "plan")


@admin.register(Tenant, site=console_site)
class TenantAdmin(TenantScopedAdmin):
    """Admin page of tenants: the platform creates, changes and suspends them; members see and may pause their own."""

    empty_title = gettext_lazy("No tenants yet")
    empty_text = gettext_lazy("Jobs belong to tenants. Add one above, or run “manage.py create_tenant”.")
    view_permission = Permission.TENANT_VIEW
    add_permission = change_permission = Permission.TENANTS_MANAGE
    named_by = "slug"
    list_display: ClassVar[Any] = ("slug", "name", "plan", "status", "created_at")
    list_select_related = ("plan",)
    list_before_template = "tenants/admin/choose_tenant.html"
    page_template = "tenants/admin/tenant_page.html"
    # The actions are on the page.
    change_form_outer_before_template = ""
    search_fields = ("slug", "name")
    post_actions = ("pause", "drain", "resume", "suspend", "reinstate", "hold", "erase", "view_as")

    def get_fields(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        own = ("slug", "name", "plan")
        return (*own, "weight_factor", "max_concurrency", "home_region", "allowed_regions") if obj else (*own, "owner")

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        return ("slug",) if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewTenantForm
        return super().get_form(request, obj, **kwargs)

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        values = form.cleaned_data
        if change:
            update_tenant(tenant=obj, changes={name: values[name] for name in form.changed_data})
        else:
            data = {name: values[name] for name in ("slug", "name", "owner")}
            wanted = NewTenant(**data, plan=values["plan"].slug)
            made = provision_tenant(wanted=wanted, link_of=partial(invitation_link, request))
            obj.pk = made.tenant.pk
            request.provisioned = made  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Tenant, post_url_continue: str | None = None) -> HttpResponse:
        """Show the invitation link and the key's token, in this response only."""
        made: ProvisionedTenant = request.provisioned  # type: ignore[attr-defined]
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("%(tenant)s is created") % {"tenant": made.tenant},
            "made": made,
            "scopes": FIRST_KEY_SCOPES,
            "first_job": _FIRST_JOB.format(request.build_absolute_uri(f"{API_V1_PREFIX}jobs/"), made.token),
        }
        response = TemplateResponse(request, "tenants/admin/tenant_provisioned.html", context)
        add_never_cache_headers(response)
        return response

    def response_post_save_change(self, request: HttpRequest, obj: Tenant) -> HttpResponseRedirect:
        return HttpResponseRedirect(self._page_of(obj))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the tenant's page or, with the parameter EDIT, the form behind it, which a POST saves."""
        is_edit = request.method == "POST" or EDIT in request.GET
        if not (self.has_change_permission(request) if is_edit else self.has_view_permission(request)):
            raise PermissionDenied
        tenant = None if is_edit else self.get_object(request, object_id)
        if tenant is None:
            response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
            return response
        context = {**self.admin_site.each_context(request), **self.page_context(request, tenant)}
        return TemplateResponse(request, self.page_template, context | (extra_context or {}))

    def page_context(self, request: HttpRequest, tenant: Tenant) -> dict[str, Any]:
        """Return the template context of the tenant's page."""
        may_manage = self.access(request).may(Permission.TENANTS_MANAGE)
        return {
            "title": tenant.name,
            "opts": self.opts,
            "tenant": tenant,
            "post_actions": list(self._buttons(request, tenant)),
            "edit_url": f"{self._page_of(tenant)}?{EDIT}=1" if may_manage else "",
            "parts": list(self.page_parts(request, tenant)),
            "may_override": may_manage,
            "override_address": override_address(tenant.pk),
            **usage_panel(tenant),
        }

    def page_parts(self, request: HttpRequest, tenant: Tenant) -> Iterator[PagePart]:
        """Yield the lists of the tenant's page; a subclass adds those of its app."""
        yield from tenant_parts(tenant, self.access(request))

    def get_urls(self) -> list[URLPattern]:
        choose = self.guard(require_POST(self.choose_view), Permission.TENANT_VIEW)
        leave = self.guard(require_POST(self.leave_view), Permission.TENANT_VIEW)
        return [
            path("choose/", choose, name="tenants_tenant_choose"),
            path("leave/", leave, name="tenants_tenant_leave"),
            *super().get_urls(),
        ]

    def leave_view(self, request: HttpRequest) -> HttpResponse:
        """End the view of a tenant."""
        end_view(request)
        return HttpResponseRedirect(reverse("admin:tenants_tenant_changelist"))

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
        label=gettext_lazy("Place legal hold"),
        consequence=gettext_lazy("Until it is released, neither retention nor an erasure deletes its data."),
        permission=Permission.TENANTS_MANAGE,
        asks_reason=True,
    )
    def hold(self, request: HttpRequest, tenant: Tenant, reason: str) -> str:
        place_hold(tenant=tenant, reason=reason)
        return gettext("All data of %(tenant)s is kept until the hold is released.") % {"tenant": tenant}

    @post_action(
        label=gettext_lazy("View as this tenant"),
        consequence=gettext_lazy("For 30 minutes you see the console as its owner does, read-only. It is audited."),
        permission=Permission.PLATFORM_VIEW,
        asks_reason=True,
    )
    def view_as(self, request: HttpRequest, tenant: Tenant, reason: str) -> HttpResponse:
        start_view(request, tenant, reason)
        return HttpResponseRedirect(reverse("admin:index"))

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
