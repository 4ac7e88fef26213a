"""Batches in the console: jobs that were asked for together."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from scheduling.admin.filters import KindFilter, TenantFilter
from scheduling.dashboards.tags import badge
from scheduling.models import Batch
from scheduling.selectors.batches import count_states
from tenants.admin.keyset import KeysetAdmin, parse_uuid
from tenants.permissions import Permission


@admin.register(Batch)
class BatchAdmin(KeysetAdmin):
    """The batches of the scope of the moment, newest first."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("label", "kind", "total", "created_at")
    list_filter = (KindFilter, TenantFilter)
    search_fields = ("id",)
    search_help_text = "Id of a batch"
    empty_title = "No batch yet"
    empty_text = "Jobs that are asked for together, such as the documents of one upload, are listed here as one."
    fields = ("label", "kind", "tenant", "total", "states", "pruned", "created_at", "jobs")
    readonly_fields = ("states", "jobs")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        wanted = parse_uuid(search_term)
        return (queryset.filter(pk=wanted) if wanted else queryset.none()) if search_term.strip() else queryset, False

    @admin.display(description="Its jobs by state")
    def states(self, batch: Batch) -> SafeString | str:
        counts = count_states(batch)
        return format_html_join(" ", "{} {}", ((count, badge(state)) for state, count in counts.items())) or "none"

    @admin.display(description="Its jobs")
    def jobs(self, batch: Batch) -> SafeString:
        url = f"{reverse('admin:scheduling_job_changelist')}?q={batch.pk}"
        return format_html('<a class="console-link" href="{}">Show its jobs</a>', url)
