"""Console pages of CFS plans and of tenants' plans, with a what-if panel that shows the effect of a change."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import TabularInline

from scheduling.console.help_texts import HelpfulMixin, without_related_links
from scheduling.console.tags import badge
from scheduling.console.wording import percent_words
from scheduling.models import CFSPlan, CFSPlanTier
from scheduling.plans.queries import open_reroute
from scheduling.plans.service import (
    CFS_PLANS,
    EDITABLE_FIELDS,
    TierRow,
    activate_cfs_plan,
    create_cfs_plan,
    update_cfs_plan,
)
from scheduling.what_if.admin import WhatIfMixin
from scheduling.what_if.page import ask_about_cfs_plan, ask_about_plan
from tenants.access.permissions import Permission
from tenants.console.base import OfItsPage, PlatformStaffAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.models import Plan
from tenants.plans.admin import PlanAdmin
from tenants.versions.admin import VERSION_FIELDS, VersionForm, VersionsMixin, version_acts


class CFSPlanForm(VersionForm):
    """Form of a CFS plan: its fields, the reason of a change, and the time from which the change applies."""

    class Meta:
        model = CFSPlan
        fields = EDITABLE_FIELDS


class CFSPlanTierInline(OfItsPage, TabularInline):
    """Rows of a CFS plan: the queues of each tier, and the weight of each."""

    model = CFSPlanTier
    fields = ("tier", "region", "queue", "io_queue", "weight", "share")
    readonly_fields = ("share",)
    extra = 0
    show_title = False
    verbose_name_plural = gettext_lazy("Tiers")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        texts = {
            "tier": gettext("The class of service; each tier once for each region."),
            "queue": gettext(
                "Queue of jobs that are routed by tier; waiting jobs move there too while the plan is active."
            ),
        }
        if db_field.name in texts:
            kwargs.setdefault("help_text", texts[db_field.name])
        field = without_related_links(super().formfield_for_dbfield(db_field, request, **kwargs))
        # The column's heading is only visual.
        getattr(field.widget, "widget", field.widget).attrs["aria-label"] = db_field.verbose_name.capitalize()
        return field

    @admin.display(description=gettext_lazy("Share while all tiers are busy"))
    def share(self, row: CFSPlanTier) -> SafeString:
        """Return the share of slots that the tier's queue gets while all queues are busy.

        By the saved weights; the page's script follows what is typed.
        """
        part = None
        if not row._state.adding:
            weights = {tier.queue_id: tier.weight for tier in row.plan.tiers.all()}
            part = weights[row.queue_id] / sum(weights.values())
        return format_html("<span data-tier-share>{}</span>", percent_words(part))

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("plan").prefetch_related("plan__tiers")


@admin.register(CFSPlan, site=console_site)
class CFSPlanAdmin(WhatIfMixin, VersionsMixin, HelpfulMixin, PlatformStaffAdmin):
    """Admin pages of CFS plans. A change of the active plan takes effect with the dispatcher's next tick."""

    empty_title = gettext_lazy("No CFS plans")
    empty_text = gettext_lazy("A CFS plan sets how tiers share the slots. Add one above, then activate it.")
    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.FAIRNESS_MANAGE
    list_display = ("name", "state_badge", "strategy", "granularity_seconds", "reserved_slots", "version", "updated_at")
    form = CFSPlanForm
    versioned = CFS_PLANS
    rollback, withdraw = version_acts(Permission.FAIRNESS_MANAGE)
    inlines = (CFSPlanTierInline,)
    change_form_template = "scheduling/dashboards/cfs_plan_form.html"
    readonly_fields = ("state_badge", "version", "updated_at")
    post_actions = ("activate", "rollback", "withdraw")
    change_form_before_template = "scheduling/dashboards/parts/cfs_plan_note.html"
    ask = staticmethod(ask_about_cfs_plan)
    help_texts = {
        "name": gettext_lazy("Display name of the plan."),
        "strategy": gettext_lazy("Whether queues and tenants share slots by weight, or jobs run in order of arrival."),
    }

    def get_fields(self, request: HttpRequest, obj: CFSPlan | None = None) -> Any:
        shown = (*EDITABLE_FIELDS, "state_badge", "version", "updated_at")
        if not self.has_change_permission(request):
            return shown
        return (*VERSION_FIELDS, *shown) if obj else ("reason", *shown)

    def related_values(self, obj: CFSPlan) -> dict[str, str]:
        return {"Tiers": ", ".join(str(row) for row in obj.tiers.select_related("tier", "queue", "io_queue"))}

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        context["reroute"] = open_reroute()
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: CFSPlan, form: Any, change: bool) -> None:
        """Do nothing, because `save_related` saves the plan together with its tier rows."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        rows = [row.cleaned_data for formset in formsets for row in formset.forms if row.cleaned_data]
        tiers = [
            TierRow(
                row["tier"].pk, row["queue"].pk, row["weight"], row["io_queue"] and row["io_queue"].pk, row["region"]
            )
            for row in rows
            if not row.get("DELETE")
        ]
        fields = {name: form.cleaned_data[name] for name in EDITABLE_FIELDS}
        if change:
            update_cfs_plan(plan=form.instance, fields=fields, tiers=tiers, **form.options())
        else:
            reason = form.cleaned_data["reason"]
            form.instance.pk = create_cfs_plan(fields=fields, tiers=tiers, reason=reason).pk

    @post_action(
        label=gettext_lazy("Activate"),
        consequence=gettext_lazy("Queues are weighted by this plan from the next tick on. The present plan is kept."),
        permission=Permission.FAIRNESS_MANAGE,
        asks_reason=True,
        is_offered=lambda plan: not plan.is_active,
    )
    def activate(self, request: HttpRequest, plan: CFSPlan, reason: str) -> str:
        activate_cfs_plan(plan=plan, reason=reason)
        return gettext("%(plan)s is the active plan from the next tick on.") % {"plan": plan}

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, plan: CFSPlan) -> SafeString:
        return badge("active" if plan.is_active else "inactive")


console_site.unregister(Plan)


@admin.register(Plan, site=console_site)
class PlanWithWhatIfAdmin(WhatIfMixin, PlanAdmin):
    """Admin pages of tenants' plans, with the what-if panel added to those of `tenants`."""

    change_form_template = "scheduling/dashboards/plan_form.html"
    ask = staticmethod(ask_about_plan)
