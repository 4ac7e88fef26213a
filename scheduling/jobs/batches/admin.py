"""Console pages of batches: their progress, their jobs and their errors."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from scheduling.compensation.page import compensation_link
from scheduling.console.filters import KindFilter, TenantFilter
from scheduling.console.tags import badge
from scheduling.jobs.batches.cancelling import cancel_batch
from scheduling.jobs.batches.queries import count_states, group_errors
from scheduling.jobs.batches.service import close_batch
from scheduling.models import Batch
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.links import console_link
from tenants.console.post_actions import post_action
from tenants.console.site import console_site

_COUNTERS = ("total", "completed", "failed", "cancelled", "pruned")


@admin.register(Batch, site=console_site)
class BatchAdmin(KeysetAdmin):
    """The console's pages of the batches that the user may see, newest first."""

    view_permission = Permission.JOBS_VIEW
    list_display = ("label", "state_badge", "kind", "progress", "failed", "created_at")
    list_filter = (KindFilter, TenantFilter)
    search_fields = ("id",)
    search_help_text = gettext_lazy("Id of a batch")
    empty_title = gettext_lazy("No batches yet")
    empty_text = gettext_lazy(
        "Jobs that are submitted together, such as the documents of one upload, are listed here as a batch."
    )
    fieldsets = (
        (None, {"fields": ("label", "state_badge", "progress", "states", "errors", "jobs")}),
        (gettext_lazy("On completion"), {"fields": ("completion", "compensation", "waiting_job")}),
        (
            gettext_lazy("Facts"),
            {"fields": ("kind", "tenant", *_COUNTERS, "cancel_reason")},
        ),
        (gettext_lazy("Times"), {"fields": ("created_at", "closed_at", "ended_at", "cancelled_at")}),
    )
    readonly_fields = (
        "state_badge",
        "progress",
        "states",
        "errors",
        "jobs",
        "completion",
        "compensation",
        "waiting_job",
    )
    post_actions = ("close", "cancel")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        wanted = parse_uuid(search_term)
        return (queryset.filter(pk=wanted) if wanted else queryset.none()) if search_term.strip() else queryset, False

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, batch: Batch) -> SafeString:
        return badge(f"batch_{batch.state}")

    @admin.display(description=gettext_lazy("Progress"))
    def progress(self, batch: Batch) -> SafeString:
        share = min(100, 100 * batch.ended // batch.total) if batch.total else 100
        return format_html(
            '{}<span class="console-meter" data-tone="busy" aria-hidden="true"><span style="width:{}%"></span></span>',
            gettext("%(ended)s of %(total)s ended") % {"ended": batch.ended, "total": batch.total},
            share,
        )

    @admin.display(description=gettext_lazy("Jobs by state"))
    def states(self, batch: Batch) -> SafeString | str:
        counts = count_states(batch)
        return format_html_join(" ", "{} {}", ((count, badge(state)) for state, count in counts.items())) or gettext(
            "none"
        )

    @admin.display(description=gettext_lazy("Errors"))
    def errors(self, batch: Batch) -> SafeString | str:
        if not batch.failed:
            return gettext("Nothing.")
        rows = (
            (group.jobs, _error_link(group.fingerprint, group.error_type), group.message)
            for group in group_errors(batch)
        )
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{} × {}: {}</li>", rows))

    @admin.display(description=gettext_lazy("Jobs"))
    def jobs(self, batch: Batch) -> SafeString:
        url = f"{reverse('admin:scheduling_job_changelist')}?q={batch.pk}"
        timeline = f"{reverse('admin:correlation')}?batch={batch.pk}"
        links = console_link(url, gettext("Show its jobs")), console_link(timeline, gettext("Timeline"))
        return format_html("{} · {}", *links)

    @admin.display(description=gettext_lazy("Follow-up"))
    def completion(self, batch: Batch) -> SafeString | str:
        if batch.on_completion is None:
            return gettext("No action.")
        kind = batch.on_completion.get("kind", "")
        if batch.fired_job_id is not None:
            submitted = gettext("A job of the kind %(kind)s was submitted:") % {"kind": kind}
            return format_html("{} {}", submitted, _job_link(batch.fired_job_id))
        if batch.fire_error:
            again = (
                gettext("The submission is retried.") if batch.fire_at else gettext("The submission is not retried.")
            )
            return gettext("A job of the kind %(kind)s could not be submitted: %(fire_error)s %(again)s") % {
                "kind": kind,
                "fire_error": batch.fire_error,
                "again": again,
            }
        if batch.ended_at is not None and batch.fire_at is None:
            return gettext("No job of the kind %(kind)s is submitted, because not all jobs were completed.") % {
                "kind": kind
            }
        return gettext("A job of the kind %(kind)s will be submitted.") % {"kind": kind}

    @admin.display(description=gettext_lazy("Compensation"))
    def compensation(self, batch: Batch) -> SafeString | str:
        if batch.compensate is None:
            return gettext("No action.")
        return compensation_link(batch.pk) or gettext("Nothing is compensated.")

    @admin.display(description=gettext_lazy("Waiting job"))
    def waiting_job(self, batch: Batch) -> SafeString | str:
        return gettext("None.") if batch.waiting_job_id is None else _job_link(batch.waiting_job_id)

    @post_action(
        label=gettext_lazy("Close"), permission=Permission.JOBS_SUBMIT, is_offered=lambda batch: batch.closed_at is None
    )
    def close(self, request: HttpRequest, batch: Batch, reason: str) -> str:
        close_batch(batch_id=batch.pk)
        return gettext("The batch is closed: it accepts no more jobs, and ends with its last one.")

    @post_action(
        label=gettext_lazy("Cancel"),
        consequence=gettext_lazy("All jobs of the batch that have not ended are cancelled."),
        permission=Permission.JOBS_CANCEL,
        asks_reason=True,
        is_danger=True,
        is_offered=lambda batch: batch.ended_at is None and batch.cancelled_at is None,
    )
    def cancel(self, request: HttpRequest, batch: Batch, reason: str) -> str:
        cancel_batch(batch_id=batch.pk, reason=reason)
        return gettext(
            "Its jobs are being cancelled: waiting ones within seconds, running ones at their next safe point."
        )


def _job_link(job_id: object) -> SafeString:
    url = reverse("admin:scheduling_job_change", args=[job_id])
    return format_html('<a class="console-link" href="{}">{}</a>', url, job_id)


def _error_link(fingerprint: str, error_type: str) -> SafeString | str:
    if not fingerprint:
        return error_type or gettext("no error")
    url = reverse("admin:error_occurrences", args=[fingerprint])
    return format_html('<a class="console-link" href="{}">{}</a>', url, error_type)
