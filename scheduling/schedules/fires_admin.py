"""Read-only console pages of the fires of schedules."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from scheduling.console.filters import TenantFilter
from scheduling.console.links import job_link
from scheduling.console.tags import fire_mark
from scheduling.models import ScheduleFire
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.moments import moment
from tenants.console.site import console_site


@admin.register(ScheduleFire, site=console_site)
class ScheduleFireAdmin(KeysetAdmin):
    """Read-only admin pages of the fires of all schedules, newest first."""

    view_permission = Permission.SCHEDULES_VIEW
    list_display = ("shown_time", "outcome_badge", "schedule", "trigger", "its_job", "reason")
    list_select_related = ("schedule",)
    list_filter = (TenantFilter,)
    search_fields = ("id",)
    search_help_text = gettext_lazy("Id of a schedule")
    fields = ("schedule", "shown_time", "outcome_badge", "reason", "trigger", "its_job", "fired_at")
    readonly_fields = ("schedule", "shown_time", "outcome_badge", "its_job")
    empty_title = gettext_lazy("No fires yet")
    empty_text = gettext_lazy(
        "Each time of a schedule is listed here with its job, or with the reason why it has none."
    )

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        wanted = parse_uuid(search_term)
        if not search_term.strip():
            return queryset, False
        return (queryset.filter(schedule_id=wanted) if wanted else queryset.none()), False

    @admin.display(description=gettext_lazy("Time"))
    def shown_time(self, fire: ScheduleFire) -> SafeString | str:
        return moment(fire.fire_time, "absolute")

    @admin.display(description=gettext_lazy("Outcome"))
    def outcome_badge(self, fire: ScheduleFire) -> SafeString:
        return fire_mark(fire.outcome)

    @admin.display(description=gettext_lazy("Job"))
    def its_job(self, fire: ScheduleFire) -> Any:
        return job_link(fire.job_id)
