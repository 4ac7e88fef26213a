"""Admin pages of tiers and plans. A plan is saved together with its limits by one service call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from tenants.access.permissions import Permission
from tenants.console.base import OfItsPage, PlatformStaffAdmin
from tenants.console.site import console_site
from tenants.limits.admin import plan_limit_choices
from tenants.limits.declared import limits
from tenants.models import Plan, PlanLimit, Tier
from tenants.plans.retry_rules import read_retry_rules, write_retry_rules
from tenants.plans.service import PLAN_FIELDS, PLANS, create_plan, create_tier, update_plan, update_tier
from tenants.versions.admin import VERSION_FIELDS, VersionForm, VersionsMixin, version_acts


@admin.register(Tier, site=console_site)
class TierAdmin(PlatformStaffAdmin):
    """Admin page of tiers."""

    empty_title = gettext_lazy("No tier")
    empty_text = gettext_lazy("Plans belong to tiers, and CFS plans share the slots among tiers. Add one above.")
    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.PLANS_MANAGE
    list_display = ("name", "slug", "rank")

    def get_readonly_fields(self, request: HttpRequest, obj: Tier | None = None) -> tuple[str, ...]:
        return ("slug",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Tier, form: Any, change: bool) -> None:
        values = form.cleaned_data
        if change:
            update_tier(tier=obj, changes={name: values[name] for name in form.changed_data})
        else:
            create_tier(slug=values["slug"], name=values["name"], rank=values["rank"])


class PlanLimitInline(OfItsPage, TabularInline):
    """Inline of a plan's values for the limits that plug-ins declare."""

    model = PlanLimit
    fields = ("key", "value")
    extra = 1

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "key":
            field: Any = forms.ChoiceField(
                label=gettext("Limit"), choices=plan_limit_choices, widget=UnfoldAdminSelectWidget
            )
        else:
            field = super().formfield_for_dbfield(db_field, request, **kwargs)
        # The column's heading labels the field only visually.
        field.widget.attrs["aria-label"] = field.label or db_field.verbose_name.capitalize()
        return field


class RetryRulesField(forms.CharField):
    """Form field that shows and reads retry rules as lines of text."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        return write_retry_rules(value) if isinstance(value, Mapping) else value

    def clean(self, value: Any) -> dict[str, Any]:
        return read_retry_rules(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(read_retry_rules(data or "") != (initial or {}))
        except ValidationError:
            return True


class PlanForm(VersionForm):
    """Form of a plan: its fields, and the reason and effective time of its new version."""

    retry_rules = RetryRulesField(
        label=gettext_lazy("Retry rules"),
        required=False,
        max_length=10_000,
        help_text=(
            gettext_lazy(
                "One kind per line, such as “http_call: 2 retries after 30, 60” (seconds); “*” means every kind "
                "without its own line. The number is a maximum: a kind with fewer retries keeps its own."
            )
        ),
    )

    class Meta:
        model = Plan
        fields = ("slug", *PLAN_FIELDS)


@admin.register(Plan, site=console_site)
class PlanAdmin(VersionsMixin, PlatformStaffAdmin):
    """Admin page of plans. A change applies to all tenants of the plan at once."""

    empty_title = gettext_lazy("No plan")
    empty_text = gettext_lazy("Every tenant needs a plan: limits, weight and slots. Add one above.")
    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.PLANS_MANAGE
    form = PlanForm
    versioned = PLANS
    rollback, withdraw = version_acts(Permission.PLANS_MANAGE)
    list_display = (
        "name",
        "slug",
        "tier",
        "weight",
        "max_concurrency",
        "submits_per_minute",
        "max_waiting_jobs",
        "version",
    )
    list_select_related = ("tier",)
    inlines = (PlanLimitInline,)
    post_actions = ("rollback", "withdraw")
    change_form_outer_after_template = "tenants/admin/plan_after.html"

    def get_fields(self, request: HttpRequest, obj: Plan | None = None) -> Any:
        """Return the form's fields; for an existing plan also those of its next version."""
        own = ("slug", *PLAN_FIELDS)
        if not self.has_change_permission(request):
            return (*own, "version")
        return (*own, "version", *VERSION_FIELDS) if obj else (*own, "reason")

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> tuple[str, ...]:
        """Return the fields that the form shows but does not edit."""
        return ("slug", "version") if obj else ()

    def related_values(self, obj: Plan) -> dict[str, str]:
        """Return the plan's limits as one text, so that the conflict check includes them."""
        return {"Limits": ", ".join(f"{limit.key} {limit.value:,}" for limit in obj.limits.order_by("key"))}

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Render the form, with the declared limits in its context."""
        context["declared_limits"] = list(limits().values())
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Plan, form: Any, change: bool) -> None:
        """Do nothing: `save_related` saves the plan together with its limits."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Create or update the plan together with its limits."""
        rows = [row.cleaned_data for formset in formsets for row in formset.forms if row.cleaned_data]
        limits = {row["key"]: row["value"] for row in rows if not row.get("DELETE")}
        values = form.cleaned_data
        if change:
            changes = {name: values[name] for name in form.changed_data if name in PLAN_FIELDS}
            update_plan(plan=form.instance, changes=changes, limits=limits, **form.options())
        else:
            own = {name: values[name] for name in ("slug", *PLAN_FIELDS)}
            form.instance.pk = create_plan(values=own, limits=limits, reason=values["reason"]).pk
