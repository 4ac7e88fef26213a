"""Console pages of routing rules: (kind, tier, payload conditions) → a queue or several; the first match wins."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSelectWidget

from scheduling.console.help_texts import HelpfulMixin, without_related_links
from scheduling.console.links import queue_link
from scheduling.console.tags import badge
from scheduling.jobs.routing.balancing import is_strategy
from scheduling.jobs.routing.conditions import check_condition
from scheduling.jobs.routing.strategies import find_strategy, strategy_names
from scheduling.jobs.routing.strategy_calls import NoChoice
from scheduling.models import RoutingRule, RoutingTarget
from scheduling.topology.service import RULE_FIELDS, create_routing_rule, update_routing_rule
from tenants.access.permissions import Permission
from tenants.console.base import OfItsPage, PlatformStaffAdmin
from tenants.console.site import console_site
from tenants.exceptions import FieldInvalidError


class RoutingRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form that rejects conditions which submission could not evaluate."""

    class Meta:
        model = RoutingRule
        fields = RULE_FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(balance := self.fields.get("balance"), forms.ChoiceField):
            # A rule whose strategy is not installed can be edited, too.
            names = dict.fromkeys([*RoutingRule.Balance.values, *strategy_names(), self.instance.balance])
            balance.choices = [(name, _balance_words(name)) for name in names]

    def clean_condition(self) -> Any:
        condition = self.cleaned_data["condition"] or None
        try:
            check_condition(condition)
        except FieldInvalidError as refusal:
            raise ValidationError(refusal.detail) from refusal
        return condition


def _balance_words(balance: str) -> str:
    if not is_strategy(balance):
        return str(RoutingRule.Balance(balance).label)
    words = gettext("Several queues, by the strategy %(name)s") % {"name": balance}
    if isinstance(find_strategy(balance), NoChoice):
        return gettext("%(words)s, which cannot be used: the least loaded queue is chosen") % {"words": words}
    return words


class RoutingTargetInline(OfItsPage, TabularInline):
    """The queues that a balancing rule distributes its jobs over."""

    model = RoutingTarget
    fields = ("queue", "weight")
    extra = 0
    show_title = False
    verbose_name_plural = gettext_lazy("Queues to balance over")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "queue":
            kwargs.setdefault("help_text", gettext("Each queue once; the queues may be in one pool or in several."))
        return without_related_links(super().formfield_for_dbfield(db_field, request, **kwargs))


@admin.register(RoutingRule, site=console_site)
class RoutingRuleAdmin(HelpfulMixin, PlatformStaffAdmin):
    """The console's pages of the routing rules, by position.

    A changed rule applies to submissions; jobs that already wait keep their queue until they are moved.
    """

    empty_title = gettext_lazy("No routing rules")
    empty_text = gettext_lazy("Rules route each submitted job to a queue. Add one above.")
    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.FAIRNESS_MANAGE
    list_display = (
        "position",
        "for_kind",
        "tier",
        "region",
        "target",
        "condition",
        "allows_queue_choice",
        "state_badge",
    )
    list_display_links = ("position", "for_kind")
    list_select_related = ("tier", "queue")
    form = RoutingRuleForm
    fields = RULE_FIELDS
    inlines = (RoutingTargetInline,)
    help_texts = {
        "queue": gettext_lazy("Where matching jobs go; empty if the tier decides."),
        "is_active": gettext_lazy("Inactive rules are skipped."),
    }

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name != "balance":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        return forms.ChoiceField(
            label=db_field.verbose_name,
            help_text=db_field.help_text,
            required=False,
            choices=[],
            widget=UnfoldAdminSelectWidget(),
        )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("targets__queue")

    def save_model(self, request: HttpRequest, obj: RoutingRule, form: Any, change: bool) -> None:
        """Skip: `save_related` saves rule and queues together."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        rows = [row.cleaned_data for formset in formsets for row in formset.forms if row.cleaned_data]
        targets = {row["queue"].pk: row["weight"] for row in rows if not row.get("DELETE")}
        values = form.cleaned_data
        if change:
            changes = {name: values[name] for name in form.changed_data}
            update_routing_rule(rule=form.instance, changes=changes, targets=targets)
        else:
            form.instance.pk = create_routing_rule(values=values, targets=targets).pk

    def related_values(self, obj: RoutingRule) -> dict[str, str]:
        return {"Queues": ", ".join(str(target) for target in obj.targets.select_related("queue"))}

    @admin.display(description=gettext_lazy("Kind"))
    def for_kind(self, rule: RoutingRule) -> str:
        return rule.kind or gettext("every kind")

    @admin.display(description=gettext_lazy("Goes to"))
    def target(self, rule: RoutingRule) -> SafeString | str:
        if rule.balance:
            targets = ((queue_link(target.queue.name), target.weight) for target in rule.targets.all())
            queues = format_html_join(", ", "{} × {}", targets)
            return format_html("{}: {}", _balance_words(rule.balance), queues)
        return queue_link(rule.queue.name) if rule.queue else gettext("the tier's queue")

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, rule: RoutingRule) -> SafeString:
        return badge("active" if rule.is_active else "inactive")
