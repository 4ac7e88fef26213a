"""Console pages of objectives: what is promised, the budget that is left, and how fast it is spent."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy

from scheduling.configuration.admin import ConfiguredAdmin
from scheduling.console.filters import TenantFilter
from scheduling.console.wording import percent_words
from scheduling.models import Objective
from scheduling.objectives.queries import Standing, read_standings
from scheduling.objectives.rules import Excuse
from scheduling.objectives.service import OBJECTIVES
from tenants.console.site import console_site

EXCUSES = {
    Excuse.PAUSE: gettext_lazy("own pause"),
    Excuse.CAP: gettext_lazy("own cap"),
    Excuse.QUOTA: gettext_lazy("own worker time used up"),
    Excuse.MAINTENANCE: gettext_lazy("maintenance"),
    Excuse.SHARE: gettext_lazy("at its entitlement"),
}


@admin.register(Objective, site=console_site)
class ObjectiveAdmin(ConfiguredAdmin):
    """Admin page of objectives."""

    configured = OBJECTIVES
    list_display = ("name", "covers", "promise", "in_time", "budget", "burn", "left_out")
    list_filter = (TenantFilter,)
    list_select_related = ("tier",)
    readonly_fields = ("in_time", "budget", "burn", "left_out", "created_at")
    empty_title = gettext_lazy("No objectives yet")
    empty_text = gettext_lazy("An objective counts the jobs that start in time, and the budget of late ones.")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        for objective, standing in zip(found.result_list, read_standings(found.result_list), strict=True):
            objective.standing = standing
        return found

    @admin.display(description=gettext_lazy("Covers"))
    def covers(self, objective: Objective) -> str:
        parts = (objective.tier.name if objective.tier else "", objective.kind)
        return ", ".join(part for part in parts if part) or gettext("all jobs")

    @admin.display(description=gettext_lazy("Objective"))
    def promise(self, objective: Objective) -> str:
        facts = {"share": f"{objective.target_share:.2%}", "time": objective.get_target_seconds_display()}
        return gettext("%(share)s start within %(time)s") % facts

    @admin.display(description=gettext_lazy("In time"))
    def in_time(self, objective: Objective) -> str:
        counts = _standing(objective).counts
        facts = {"share": percent_words(counts.share), "number": f"{counts.counted:,}"}
        return gettext("%(share)s of %(number)s") % facts

    @admin.display(description=gettext_lazy("Budget left"))
    def budget(self, objective: Objective) -> str:
        left = _standing(objective).budget_left
        return percent_words(left) if left >= 0 else gettext("overspent, %(part)s") % {"part": f"{left:.0%}"}

    @admin.display(description=gettext_lazy("Burn rate, 1 h / 6 h"))
    def burn(self, objective: Objective) -> str:
        standing = _standing(objective)
        return f"{standing.burn_hour:.1f} / {standing.burn_six_hours:.1f}"

    @admin.display(description=gettext_lazy("Left out"))
    def left_out(self, objective: Objective) -> str:
        """Return the late jobs that do not count, by reason."""
        excused = _standing(objective).counts.excused
        return ", ".join(f"{EXCUSES[Excuse(why)]}: {number:,}" for why, number in excused.items()) or "–"


def _standing(objective: Any) -> Standing:
    """Return the standing of an objective, read with the list or once for its page."""
    if not hasattr(objective, "standing"):
        (objective.standing,) = read_standings([objective])
    standing: Standing = objective.standing
    return standing
