"""Console page of priority rules, with what each would have done in the last hour."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.console.wording import duration_words
from scheduling.priority_rules.configured import PRIORITY_RULES
from scheduling.priority_rules.models import PriorityRule
from scheduling.priority_rules.what_if import KindWaits, what_if_rule
from tenants.access.permissions import Permission
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import DomainError


@admin.register(PriorityRule, site=console_site)
class PriorityRuleAdmin(ConfiguredAdmin):
    """Rules that move jobs within their tenant's line under load."""

    configured = PRIORITY_RULES
    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.FAIRNESS_MANAGE
    list_display = ("position", "name", "from_level", "kind", "tier", "failure_percent", "offset_seconds", "is_enabled")
    list_display_links = ("name",)
    readonly_fields = ("last_hour",)
    ordering = ("position",)
    sortable_by = ()
    empty_title = gettext_lazy("No priority rules")
    empty_text = gettext_lazy("Without rules a tenant's jobs start in the order of their ranks at every load.")

    @admin.display(description=gettext_lazy("In the last hour"))
    def last_hour(self, rule: PriorityRule) -> SafeString | str:
        """Return how many jobs the rule would have moved, and the waits of these kinds before and after."""
        try:
            effect = what_if_rule(rule)
        except DomainError as refusal:
            return refusal.detail
        facts = {"moved": f"{effect.moved:,}", "jobs": f"{effect.jobs:,}"}
        total = gettext("It would have moved %(moved)s of %(jobs)s jobs.") % facts
        changed = (kind for kind in effect.kinds if kind.moved)
        return format_html("<p>{}</p>{}", total, format_html_join("", "<p>{}</p>", ((_words(one),) for one in changed)))

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("From then on it moves no job."),
        permission=Permission.FAIRNESS_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: PriorityRule, reason: str) -> HttpResponse:
        return self.delete_row(request, row, reason)


def _words(waits: KindWaits) -> str:
    return gettext("%(kind)s: waited %(now)s on average, then %(after)s; 95 %% within %(p95)s, then %(p95_after)s") % {
        "kind": waits.kind,
        "now": duration_words(waits.mean_now),
        "after": duration_words(waits.mean_after),
        "p95": duration_words(waits.p95_now),
        "p95_after": duration_words(waits.p95_after),
    }
