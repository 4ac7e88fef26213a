"""Routing rules in the console: (kind, tier, payload condition) → a queue; the first match wins."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.safestring import SafeString

from scheduling.admin.help_texts import HelpfulMixin
from scheduling.dashboards.tags import badge
from scheduling.models import RoutingRule
from scheduling.services.topology import RULE_FIELDS, check_condition, create_routing_rule, update_routing_rule
from tenants.admin.base import PlatformStaffAdmin
from tenants.exceptions import FieldInvalidError
from tenants.permissions import Permission


class RoutingRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Says beside the field what submission could not evaluate."""

    class Meta:
        model = RoutingRule
        fields = RULE_FIELDS

    def clean_condition(self) -> Any:
        condition = self.cleaned_data["condition"] or None
        try:
            check_condition(condition)
        except FieldInvalidError as refusal:
            raise ValidationError(refusal.detail) from refusal
        return condition


@admin.register(RoutingRule)
class RoutingRuleAdmin(HelpfulMixin, PlatformStaffAdmin):
    """Asked from the lowest position up, at submission; jobs that wait already stay where they were sent."""

    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.FAIRNESS_MANAGE
    list_display = ("position", "for_kind", "tier", "target", "condition", "allows_queue_choice", "state_badge")
    list_display_links = ("position", "for_kind")
    list_select_related = ("tier", "queue")
    form = RoutingRuleForm
    fields = RULE_FIELDS
    help_texts = {
        "queue": "Where matching jobs go; empty if the tier decides.",
        "is_active": "Rules that are not active are not asked.",
    }

    def save_model(self, request: HttpRequest, obj: RoutingRule, form: Any, change: bool) -> None:
        values = form.cleaned_data
        if change:
            update_routing_rule(rule=obj, changes={name: values[name] for name in form.changed_data})
        else:
            obj.pk = create_routing_rule(values=values).pk

    @admin.display(description="Kind")
    def for_kind(self, rule: RoutingRule) -> str:
        return rule.kind or "every kind"

    @admin.display(description="Goes to")
    def target(self, rule: RoutingRule) -> str:
        return str(rule.queue) if rule.queue else "the tier's queue"

    @admin.display(description="State")
    def state_badge(self, rule: RoutingRule) -> SafeString:
        return badge("active" if rule.is_active else "inactive")
