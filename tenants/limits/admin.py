"""Limits in the console: the usage panel on the tenant's page, and the admin page of overrides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, gettext_noop
from unfold.widgets import UnfoldAdminSelectWidget

from tenants.access.permissions import Permission
from tenants.console.base import TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.limits.declared import Limit, LimitPeriod, LimitState, Source, limits
from tenants.limits.service import clear_tenant_limit, set_tenant_limit
from tenants.limits.usage_queries import UsageLine, read_usage
from tenants.models import PlanLimit, Tenant, TenantLimit

# Glyph, word and tone: never a colour alone.
_MARKS = {
    LimitState.OK: ("✓", gettext_noop("within"), "good"),
    LimitState.NEAR: ("▲", gettext_noop("near"), "warn"),
    LimitState.EXCEEDED: ("✕", gettext_noop("reached"), "bad"),
}
_SOURCES = {
    Source.OVERRIDE: gettext_noop("tenant override"),
    Source.PLAN: gettext_noop("by plan"),
    Source.DEFAULT: gettext_noop("by default"),
}
_PERIODS = {
    LimitPeriod.MONTH: gettext_noop("this month"),
    LimitPeriod.DAY: gettext_noop("today"),
    LimitPeriod.MINUTE: gettext_noop("over time"),
    LimitPeriod.NOW: gettext_noop("now"),
    LimitPeriod.EACH: gettext_noop("each"),
}


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One limit and its usage, as texts for the usage panel."""

    line: UsageLine
    glyph: str
    word: str
    tone: str
    source: str
    period: str
    used: str
    allowed: str
    left: str
    width: str


def usage_panel(tenant: Tenant) -> dict[str, Any]:
    """Return the template context of a tenant's usage panel."""
    usage = read_usage(tenant.pk)
    return {"usage": usage, "usage_rows": [_row(line) for line in usage.lines]}


def _row(line: UsageLine) -> UsageRow:
    glyph, word, tone = _MARKS[line.state]
    return UsageRow(
        line=line,
        glyph=glyph,
        word=gettext(word),
        tone=tone,
        source=gettext(_SOURCES[line.source]),
        period=gettext(_PERIODS[line.limit.span]),
        used=_amount(line.used, line.limit),
        allowed=gettext("no limit") if line.allowed is None else _amount(line.allowed, line.limit),
        left=_amount(line.left, line.limit),
        width=f"{(line.part or 0) * 100:.2f}",
    )


def _amount(amount: int | None, limit: Limit) -> str:
    if amount is not None and limit.unit == "bytes":
        return filesizeformat(amount)
    return "–" if amount is None else f"{amount:,} {gettext(limit.unit)}"


def describe_limit(key: str) -> str:
    """Return the title and unit of a limit, for the forms of plans and overrides."""
    limit = limits().get(key)
    if limit is None:
        return gettext("not declared by an installed app")
    return gettext("%(title)s, in %(unit)s") % {"title": gettext(limit.title), "unit": gettext(limit.unit)}


def limit_choices() -> list[tuple[str, str]]:
    """Return the limits that can be overridden in this form, as choices of key and description.

    Limits that are fields of the tenant are left out, because they are edited on the tenant's page, and those that only
    a plan can set.
    """
    own = (limit for limit in limits().values() if not limit.tenant_column and not limit.is_of_plan_alone)
    return [(limit.key, describe_limit(limit.key)) for limit in own]


def plan_limit_choices() -> list[tuple[str, str]]:
    """Return the limits that rows of a plan can set, and the keys of stored rows that no installed app declares."""
    known = [key for key, limit in limits().items() if not limit.plan_column]
    stored = PlanLimit.objects.exclude(key__in=limits()).order_by("key").values_list("key", flat=True).distinct()
    return [("", "–"), *((key, f"{describe_limit(key)} ({key})") for key in (*known, *stored))]


class TenantLimitForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    """Form of a limit override; the admin page chooses its fields."""

    key = forms.ChoiceField(label=gettext_lazy("Limit"), choices=limit_choices, widget=UnfoldAdminSelectWidget)


@admin.register(TenantLimit, site=console_site)
class TenantLimitAdmin(TenantScopedAdmin):
    """Admin page of limit overrides.

    An override is a value for one tenant in place of its plan's, with a reason and an end.
    """

    empty_title = gettext_lazy("No override")
    empty_text = gettext_lazy(
        "Every tenant has the limits of its plan. Add an override to give a tenant more or less, temporarily or "
        "permanently."
    )
    view_permission = Permission.TENANT_VIEW
    add_permission = change_permission = Permission.TENANTS_MANAGE
    form = TenantLimitForm
    list_display = ("key", "title", "value", "expires_at", "reason")
    ordering = ("tenant__slug", "key")
    post_actions = ("clear",)

    def get_fields(self, request: HttpRequest, obj: TenantLimit | None = None) -> Any:
        return ("tenant", "key", "value", "reason", "expires_at")

    def get_readonly_fields(self, request: HttpRequest, obj: TenantLimit | None = None) -> Any:
        return ("tenant", "key") if obj else ()

    def save_model(self, request: HttpRequest, obj: TenantLimit, form: Any, change: bool) -> None:
        values = form.cleaned_data
        override = set_tenant_limit(
            tenant=obj.tenant,
            key=obj.key,
            value=values["value"],
            reason=values["reason"],
            expires_at=values["expires_at"],
        )
        assert override is not None  # the form offers no other limits
        obj.pk = override.pk

    @post_action(
        label=gettext_lazy("Clear"),
        consequence=gettext_lazy("The limit of the plan applies again."),
        permission=Permission.TENANTS_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def clear(self, request: HttpRequest, override: TenantLimit, reason: str) -> HttpResponse:
        clear_tenant_limit(tenant=override.tenant, key=override.key, reason=reason)
        self.message_user(
            request,
            gettext("The plan's limit %(key)s applies to %(tenant)s again.")
            % {"key": override.key, "tenant": override.tenant},
        )
        return HttpResponseRedirect(reverse("admin:tenants_tenantlimit_changelist"))

    @admin.display(description=gettext_lazy("Limit"))
    def title(self, override: TenantLimit) -> str:
        return describe_limit(override.key)


def override_address(tenant_id: UUID) -> str:
    """Return the URL of the form for a new override of this tenant."""
    return f"{reverse('admin:tenants_tenantlimit_add')}?tenant={tenant_id}"
