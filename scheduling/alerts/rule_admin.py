"""Console page of alert rules, with a preview of when the form's rule would have fired."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldBooleanWidget

from scheduling.alerts.measures import measures
from scheduling.alerts.rule_config import CONDITION, RULES, preview_rule
from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.console.tags import badge
from scheduling.models import AlertRule
from tenants.access.permissions import Permission
from tenants.console.site import console_site
from tenants.exceptions import DomainError
from tenants.limits.declared import SEARCH, costs

PREVIEW = "scheduling/dashboards/parts/alert_backtest.html"


class AlertRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a rule: its condition from lists, and a confirmation if the backtest warns."""

    measure = forms.ChoiceField(label=gettext_lazy("Measure"), widget=UnfoldAdminSelectWidget())
    confirm = forms.BooleanField(
        label=gettext_lazy("Save it despite the warning of its backtest"), required=False, widget=UnfoldBooleanWidget()
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "measure" in self.fields:
            choices = [(name, f"{measure.title} {measure.unit}".strip()) for name, measure in measures().items()]
            self.fields["measure"].choices = choices  # type: ignore[attr-defined]


@admin.register(AlertRule, site=console_site)
class AlertRuleAdmin(ConfiguredAdmin):
    """Admin page of alert rules; those shipped with the platform are changed and disabled like others."""

    configured, form = RULES, AlertRuleForm
    list_display = ("name", "severity_mark", "measure_title", "per", "condition", "is_enabled")
    list_filter = ("severity", "is_enabled")
    ordering = ("name", "pk")
    change_form_before_template = "scheduling/dashboards/parts/alert_preview.html"
    empty_title = gettext_lazy("No rules of your own yet")
    empty_text = gettext_lazy("The platform watches itself. Add a rule for what matters to you.")

    def get_urls(self) -> list[URLPattern]:
        preview = self.guard(require_POST(self.preview_view), Permission.JOBS_VIEW)
        return [path("preview/", preview, name="scheduling_alertrule_preview"), *super().get_urls()]

    @costs(SEARCH)
    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Return an HTML fragment that shows when the posted form's rule would have fired; save nothing."""
        form = self.get_form(request)(request.POST)
        form.is_valid()
        context: dict[str, Any] = {}
        if set(form.errors) & set(CONDITION):
            context["fault"] = gettext("Complete the condition to see when it would have fired.")
        else:
            try:
                context["backtest"] = preview_rule(form.cleaned_data)
            except DomainError as error:
                context["fault"] = error.detail
        return HttpResponse(render_to_string(PREVIEW, context, request))

    @admin.display(description=gettext_lazy("Severity"))
    def severity_mark(self, rule: AlertRule) -> SafeString:
        return badge(f"alert_{rule.severity}")

    @admin.display(description=gettext_lazy("Measure"), ordering="measure")
    def measure_title(self, rule: AlertRule) -> str:
        return str(measures()[rule.measure].title) if rule.measure in measures() else rule.measure

    @admin.display(description=gettext_lazy("Condition"))
    def condition(self, rule: AlertRule) -> str:
        values = {"comparison": rule.get_comparison_display(), "threshold": f"{rule.threshold:g}"}
        unit = measures()[rule.measure].unit if rule.measure in measures() else ""
        values["unit"] = f" {unit}" if unit else ""
        if not rule.for_seconds:
            return gettext("%(comparison)s %(threshold)s%(unit)s") % values
        return gettext("%(comparison)s %(threshold)s%(unit)s for %(seconds)s s") % {
            **values,
            "seconds": rule.for_seconds,
        }
