"""Upkeep in the console: each task with its last result and a button, and below them the runs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from scheduling.admin.filters import UpkeepTaskFilter
from scheduling.dashboards.code_names import count_words
from scheduling.dashboards.tags import badge
from scheduling.dashboards.wording import duration_words
from scheduling.models import UpkeepRun
from scheduling.services.upkeep.runs import request_upkeep
from scheduling.services.upkeep.status import find_line, read_upkeep
from tenants.admin.base import PlatformStaffAdmin
from tenants.admin.keyset import KeysetChangeList
from tenants.exceptions import DomainError
from tenants.permissions import Permission


@admin.register(UpkeepRun)
class UpkeepRunAdmin(PlatformStaffAdmin):
    """What beat does for the platform, and how it went."""

    view_permission = Permission.PLATFORM_VIEW
    change_list_template = "tenants/admin/keyset_list.html"
    list_before_template = "scheduling/dashboards/upkeep_tasks.html"
    list_display = ("name", "how", "started_at", "took", "done", "said")
    list_filter = (UpkeepTaskFilter,)
    sortable_by = ()
    fields = ("name", "how", "started_at", "finished_at", "took", "counts", "found", "why", "cursor")
    readonly_fields = fields
    empty_title = gettext_lazy("No run yet")
    empty_text = gettext_lazy(
        "Beat asks for each task at its interval; start it with “manage.py run_platform”, or run one above."
    )

    def get_urls(self) -> list[URLPattern]:
        run = path(
            "run/<slug:name>/", self.guard(self.run_view, Permission.UPKEEP_RUN), name="scheduling_upkeeprun_run"
        )
        return [run, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        facts = {
            "title": gettext("Upkeep"),
            "upkeep_lines": read_upkeep(),
            "may_run_upkeep": self.access(request).may(Permission.UPKEEP_RUN),
        }
        response: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **facts})
        return response

    def run_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask for a run on POST; anything else is 405."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        try:
            title = gettext(find_line(name).task.title)
            request_upkeep(name=name)
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(
                request,
                gettext("The maintenance pool was asked to run “%(title)s”; its result appears below.")
                % {"title": title},
            )
        return HttpResponseRedirect(reverse("admin:scheduling_upkeeprun_changelist"))

    @admin.display(description=gettext_lazy("Outcome"))
    def how(self, run: UpkeepRun) -> SafeString:
        return badge(run.outcome)

    @admin.display(description=gettext_lazy("Took"))
    def took(self, run: UpkeepRun) -> str:
        return duration_words(run.finished_at - run.started_at) if run.finished_at else "–"

    @admin.display(description=gettext_lazy("Done"))
    def done(self, run: UpkeepRun) -> str:
        return count_words(run.counts)

    @admin.display(description=gettext_lazy("Said"))
    def said(self, run: UpkeepRun) -> str:
        return " ".join(run.told[:1])[:120] or "–"

    @admin.display(description=gettext_lazy("Findings"))
    def found(self, run: UpkeepRun) -> SafeString:
        lines = ((sentence.localized,) for sentence in run.sentences)
        return format_html_join("", "<div>{}</div>", lines) or SafeString("–")

    @admin.display(description=gettext_lazy("Error"))
    def why(self, run: UpkeepRun) -> str:
        return gettext(run.error) if run.error else "–"
