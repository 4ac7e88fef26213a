"""Console pages of compensations, with the acts on those that need attention."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from scheduling.compensation.service import retry_compensation, settle_compensation
from scheduling.console.filters import TenantFilter
from scheduling.console.links import job_link
from scheduling.models import Compensation
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.links import console_link
from tenants.console.post_actions import post_action
from tenants.console.site import console_site

_PAGES = {"run": "admin:workflow_storage_workflowrun_change", "batch": "admin:scheduling_batch_change"}


def _needs_attention(row: Compensation) -> bool:
    return row.state == Compensation.State.NEEDS_ATTENTION


@admin.register(Compensation, site=console_site)
class CompensationAdmin(KeysetAdmin):
    """Admin page of compensations, newest first."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("work", "owner_type", "owner", "kind", "state", "error", "done_at", "ended_at")
    list_filter = ("state", "owner_type", TenantFilter)
    walked_filters = frozenset({"state", "owner_type"})
    search_fields = ("owner_id",)
    search_help_text = gettext_lazy("Id of a workflow run or of a batch")
    fields = ("work", "owner_type", "owner", "kind", "state", "error", "compensated_by", "done_at", "ended_at")
    readonly_fields = ("owner", "compensated_by")
    post_actions = ("retry", "settle")
    empty_title = gettext_lazy("No compensations")
    empty_text = gettext_lazy(
        "What undoes the work of workflow runs and batches that fail or are cancelled is listed here."
    )

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        wanted = parse_uuid(search_term)
        found = queryset.filter(Q(owner_id=wanted) | Q(pk=wanted)) if wanted else queryset.none()
        return found if search_term.strip() else queryset, False

    @admin.display(description=gettext_lazy("Owner"))
    def owner(self, row: Compensation) -> SafeString | str:
        try:
            return console_link(reverse(_PAGES[row.owner_type], args=[row.owner_id]), f"…{str(row.owner_id)[-12:]}")
        except NoReverseMatch:
            return str(row.owner_id)

    @admin.display(description=gettext_lazy("Compensated by"))
    def compensated_by(self, row: Compensation) -> SafeString | str:
        return job_link(row.job_id)

    @post_action(
        label=gettext_lazy("Retry compensation"),
        consequence=gettext_lazy("Its job is submitted again."),
        permission=Permission.JOBS_RETRY,
        takes_reason=True,
        is_offered=_needs_attention,
    )
    def retry(self, request: HttpRequest, row: Compensation, reason: str) -> str:
        retry_compensation(compensation_id=row.pk, reason=reason)
        return gettext("The compensation is submitted again.")

    @post_action(
        label=gettext_lazy("Mark as settled"),
        consequence=gettext_lazy("It counts as compensated; no job undoes the work."),
        permission=Permission.JOBS_RETRY,
        asks_reason=True,
        is_offered=_needs_attention,
    )
    def settle(self, request: HttpRequest, row: Compensation, reason: str) -> str:
        settle_compensation(compensation_id=row.pk, reason=reason)
        return gettext("The compensation is marked as settled.")
