"""Console pages of the load states: what is measured, and forcing a state for a time."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.console.tags import badge
from scheduling.load.configured import SHEDDING_RULES
from scheduling.load.models import LoadState, SheddingRule
from scheduling.load.rules import SIGNALS, Level
from scheduling.load.service import force_level, release_level
from scheduling.load.words import reason_words, value_words
from tenants.access.permissions import Permission
from tenants.console.base import PlatformStaffAdmin
from tenants.console.post_actions import Act, post_action, until_of
from tenants.console.site import console_site
from tenants.database.clock import read_clock

_CONSEQUENCE = gettext_lazy("Until then it applies, whatever is measured; without an end for an hour.")


def _force_action(level: Level, label: Any) -> Act:
    """Return an action that forces a state."""

    def force(self: Any, request: HttpRequest, row: LoadState, reason: str) -> str:
        held = force_level(scope=row.scope, level=level, until=until_of(request), reason=reason)
        return gettext("The state %(state)s is forced until %(until)s UTC.") % {
            "state": held.get_forced_level_display(),
            "until": f"{held.forced_until:%F %H:%M}",
        }

    asked = post_action(
        label=label, consequence=_CONSEQUENCE, permission=Permission.QUEUES_OPERATE, asks_reason=True, asks_until=True
    )
    return asked(force)


@admin.register(SheddingRule, site=console_site)
class SheddingRuleAdmin(ConfiguredAdmin):
    """What the platform does without under load."""

    configured = SHEDDING_RULES
    view_permission = Permission.PLATFORM_VIEW
    add_permission = change_permission = Permission.FAIRNESS_MANAGE
    list_display = ("position", "name", "from_level", "action", "tier", "kind", "feature", "is_enabled")
    list_display_links = ("name",)
    ordering = ("position",)
    sortable_by = ()
    empty_title = gettext_lazy("No shedding rules")
    empty_text = gettext_lazy("Without rules everything is accepted at every load, and waits.")

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("From then on the platform does not shed by it."),
        permission=Permission.FAIRNESS_MANAGE,
        takes_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, row: SheddingRule, reason: str) -> HttpResponse:
        return self.delete_row(request, row, reason)


@admin.register(LoadState, site=console_site)
class LoadStateAdmin(PlatformStaffAdmin):
    """Load states of the platform and of its pools."""

    view_permission = Permission.PLATFORM_VIEW
    list_display = ("name", "state", "since", "why", "accepted")
    fields = ("name", "state", "level", "since", "why", "accepted", "values", "measured_at")
    readonly_fields = fields
    ordering = ("scope",)
    sortable_by = ()
    post_actions = ("force_normal", "force_busy", "force_overloaded", "force_brown_out", "release")
    empty_title = gettext_lazy("Nothing measured yet")
    empty_text = gettext_lazy("A dispatcher measures the load once a second: start one with “manage.py dispatch_jobs”.")

    force_normal = _force_action(Level.NORMAL, gettext_lazy("Force normal"))
    force_busy = _force_action(Level.BUSY, gettext_lazy("Force busy"))
    force_overloaded = _force_action(Level.OVERLOADED, gettext_lazy("Force overloaded"))
    force_brown_out = _force_action(Level.BROWN_OUT, gettext_lazy("Force brown-out"))

    @post_action(
        label=gettext_lazy("Release"),
        consequence=gettext_lazy("The measured state applies again."),
        permission=Permission.QUEUES_OPERATE,
        takes_reason=True,
        is_offered=lambda row: row.forced_level is not None,
    )
    def release(self, request: HttpRequest, row: LoadState, reason: str) -> str:
        release_level(scope=row.scope, reason=reason)
        return gettext("The measured state applies again.")

    @admin.display(description=gettext_lazy("Scope"))
    def name(self, row: LoadState) -> str:
        return str(row)

    @admin.display(description=gettext_lazy("State"))
    def state(self, row: LoadState) -> SafeString:
        return badge(f"load_{row.applying(read_clock()).slug}")

    @admin.display(description=gettext_lazy("Reasons"))
    def why(self, row: LoadState) -> SafeString | str:
        return format_html_join(", ", "{}", ((words,) for words in reason_words(row))) or "–"

    @admin.display(description=gettext_lazy("New jobs accepted"))
    def accepted(self, row: LoadState) -> str:
        parts = (f"{tier}: {percent} %" for tier, percent in row.admitted.items())
        return ", ".join(parts) or gettext("all")

    @admin.display(description=gettext_lazy("Measured values"))
    def values(self, row: LoadState) -> SafeString:
        known = (name for name in SIGNALS if name in row.signals)
        lines = ((value_words(name, row.signals[name]),) for name in known)
        return format_html_join("", "<p>{}</p>", lines)

    def _page_of(self, row: Any) -> str:
        return reverse("admin:scheduling_loadstate_changelist")
