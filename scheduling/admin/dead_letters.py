"""Dead letters in the console: why a job will not run again by itself, and putting it back."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from scheduling.admin.dead_letter_pages import DeadLetterPages, cause_of
from scheduling.admin.filters import KindFilter, ReasonFilter, RequeuedFilter, TenantFilter
from scheduling.admin.links import job_link
from scheduling.admin.reasons import ReasonActionForm
from scheduling.admin.ticked import act_on_ticked
from scheduling.dashboards.masking import summarize_stored
from scheduling.dashboards.tags import badge
from scheduling.filters import JobFilter
from scheduling.filters.fields import NO
from scheduling.models import BulkOperation, DeadLetter
from scheduling.selectors.dead_letters import describe_dead_letter
from scheduling.services.dead_letters import requeue_dead_letter
from tenants.admin.keyset import parse_uuid
from tenants.admin.post_actions import post_action
from tenants.permissions import Permission


@admin.register(DeadLetter)
class DeadLetterAdmin(DeadLetterPages):
    """The dead letters of the scope of the moment, newest first."""

    view_permission = Permission.JOBS_VIEW
    action_permissions = {"requeue_selected": Permission.JOBS_RETRY}
    list_display = ("letter", "why", "error", "error_fingerprint", "created_at", "put_back")
    list_display_links = ("letter",)
    list_filter = (RequeuedFilter, ReasonFilter, KindFilter, TenantFilter)
    list_before_template = "scheduling/dashboards/parts/dead_letter_links.html"
    change_form_outer_after_template = "scheduling/dashboards/parts/dead_letter_after.html"
    walked_filters = frozenset({"requeued", "reason", "kind"})
    search_fields = ("error_fingerprint",)
    search_help_text = gettext_lazy("Id of a dead letter or job, or an error's fingerprint")
    actions = ("requeue_selected",)
    action_form = ReasonActionForm
    post_actions = ("requeue", "edit")
    empty_title = gettext_lazy("No dead letter")
    empty_text = gettext_lazy(
        "A job comes here when it will not run again by itself: with its error, and a button to requeue it."
    )
    fields = (
        "why",
        "kind",
        "tenant",
        "of_job",
        "error_type",
        "error_message",
        "error_fingerprint",
        "created_at",
        "put_back",
    )
    readonly_fields = ("why", "of_job", "put_back")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DeadLetter], search_term: str
    ) -> tuple[QuerySet[DeadLetter], bool]:
        term = search_term.strip()
        wanted = parse_uuid(term)
        if wanted is not None:
            return queryset.filter(pk=wanted) | queryset.filter(job_id=wanted), False
        return (queryset.filter(error_fingerprint=term) if term else queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {**(extra_context or {}), "requeue_all_url": self.requeue_all_url(request, JobFilter.of(requeued=NO))}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        letter = context.get("original")
        if letter is not None:
            detail = describe_dead_letter(letter)
            context |= {
                "detail": detail,
                "payload_summary": summarize_stored(detail.job, "payload"),
                "requeue_all_url": self.requeue_all_url(request, cause_of(letter.kind, letter.error_fingerprint)),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    @post_action(
        label=gettext_lazy("Requeue"),
        permission=Permission.JOBS_RETRY,
        asks_reason=True,
        is_offered=lambda letter: letter.requeued_at is None,
    )
    def requeue(self, request: HttpRequest, letter: DeadLetter, reason: str) -> HttpResponse:
        job = requeue_dead_letter(dead_letter_id=letter.pk, reason=reason)
        messages.success(request, gettext("A new job does the work again; this is its page."))
        return HttpResponseRedirect(reverse("admin:scheduling_job_change", args=[job.pk]))

    @admin.action(description=gettext_lazy("Requeue the selected dead letters"))
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        act_on_ticked(request, BulkOperation.Operation.REQUEUE, list(queryset.values_list("job_id", "tenant__slug")))

    @admin.display(description=gettext_lazy("Job"))
    def letter(self, letter: DeadLetter) -> SafeString:
        return format_html("<b>{}</b> <code class='console-quiet'>…{}</code>", letter.kind, str(letter.job_id)[-12:])

    @admin.display(description=gettext_lazy("Why"))
    def why(self, letter: DeadLetter) -> SafeString:
        return badge(letter.reason)

    @admin.display(description=gettext_lazy("Error"))
    def error(self, letter: DeadLetter) -> str:
        return f"{letter.error_type}: {letter.error_message[:90]}" if letter.error_type else "–"

    @admin.display(description=gettext_lazy("Job"))
    def of_job(self, letter: DeadLetter) -> SafeString | str:
        return job_link(letter.job_id)

    @admin.display(description=gettext_lazy("Requeued"))
    def put_back(self, letter: DeadLetter) -> SafeString:
        if letter.requeued_job_id is None:
            return badge("waiting")
        return format_html("{} {}", badge("requeued"), job_link(letter.requeued_job_id))
