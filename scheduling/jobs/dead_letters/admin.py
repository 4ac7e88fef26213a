"""Console pages of dead letters: list, requeue with the same or an edited payload."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST

from scheduling.console.filters import KindFilter, ReasonFilter, RequeuedFilter, TenantFilter
from scheduling.console.links import job_link
from scheduling.console.selected_rows import act_on_selected
from scheduling.console.tags import badge
from scheduling.exceptions import DeadLetterNotFoundError
from scheduling.jobs.dead_letters.links import cause_of, requeue_all_url
from scheduling.jobs.dead_letters.queries import describe_dead_letter, get_dead_letter
from scheduling.jobs.dead_letters.service import requeue_dead_letter
from scheduling.jobs.filters import JobFilter
from scheduling.jobs.filters.fields import NO
from scheduling.jobs.masking import summarize_stored
from scheduling.jobs.payload_editor import Edited, PayloadEditor
from scheduling.models import BulkOperation, DeadLetter, Job
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.post_actions import post_action
from tenants.console.reason_form import ReasonActionForm
from tenants.console.site import console_site


class DeadLetterPages(PayloadEditor, KeysetAdmin):
    """A mixin for the admin of dead letters: the action that opens the payload editor, and its view."""

    def get_urls(self) -> list[URLPattern]:
        edited = self.guard(require_POST(self.requeue_edited_view), Permission.JOBS_REVEAL, takes_files=True)
        return [
            path("<uuid:object_id>/requeue-edited/", edited, name="scheduling_deadletter_requeue_edited"),
            *super().get_urls(),
        ]

    @post_action(
        label=gettext_lazy("Edit payload and requeue"),
        consequence=gettext_lazy("The payload is shown in a form, and the audit log records that you have seen it."),
        permission=Permission.JOBS_REVEAL,
        asks_reason=True,
        is_offered=lambda letter: letter.requeued_at is None,
    )
    def edit(self, request: HttpRequest, letter: DeadLetter, reason: str) -> HttpResponse:
        """Show the payload in a form, in the response to this POST only; the audit log records the reveal."""
        return self.open_editor(request, _edited(letter), reason)

    def requeue_edited_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Requeue the letter's job with the payload entered in the form; show a fault beside the form."""
        if not self.access(request).may(Permission.JOBS_RETRY):
            raise PermissionDenied
        try:
            letter = get_dead_letter(object_id)
        except DeadLetterNotFoundError as error:
            raise Http404(error.detail) from error

        def run(payload: dict[str, Any], reason: str) -> Job:
            return requeue_dead_letter(dead_letter_id=letter.pk, reason=reason, payload=payload)

        return self.submit_edited(request, _edited(letter), run)


def _edited(letter: DeadLetter) -> Edited:
    return Edited(
        job_id=letter.job_id,
        kind=letter.kind,
        tenant=letter.tenant,
        address=reverse("admin:scheduling_deadletter_requeue_edited", args=[letter.pk]),
        back=reverse("admin:scheduling_deadletter_change", args=[letter.pk]),
    )


@admin.register(DeadLetter, site=console_site)
class DeadLetterAdmin(DeadLetterPages):
    """The console's pages of the dead letters that the user may see, newest first."""

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
    empty_title = gettext_lazy("No dead letters")
    empty_text = gettext_lazy(
        "A job that will not run again by itself is listed here with its error, and can be requeued."
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
        context = {
            **(extra_context or {}),
            "requeue_all_url": requeue_all_url(self.access(request), JobFilter.of(requeued=NO)),
        }
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        letter = context.get("original")
        if letter is not None:
            detail = describe_dead_letter(letter)
            context |= {
                "detail": detail,
                "payload_summary": summarize_stored(detail.job, "payload"),
                "requeue_all_url": requeue_all_url(
                    self.access(request), cause_of([letter.kind], letter.error_fingerprint)
                ),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    @post_action(
        label=gettext_lazy("Requeue"),
        consequence=gettext_lazy("A new job runs with the same payload; this one stays as the record."),
        permission=Permission.JOBS_RETRY,
        asks_reason=True,
        is_offered=lambda letter: letter.requeued_at is None,
    )
    def requeue(self, request: HttpRequest, letter: DeadLetter, reason: str) -> HttpResponse:
        job = requeue_dead_letter(dead_letter_id=letter.pk, reason=reason)
        messages.success(request, gettext("A new job repeats the work. This is its page."))
        return HttpResponseRedirect(reverse("admin:scheduling_job_change", args=[job.pk]))

    @admin.action(description=gettext_lazy("Requeue the selected dead letters"))
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        act_on_selected(request, BulkOperation.Operation.REQUEUE, list(queryset.values_list("job_id", "tenant__slug")))

    @admin.display(description=gettext_lazy("Job"))
    def letter(self, letter: DeadLetter) -> SafeString:
        return format_html("<b>{}</b> <code class='console-quiet'>…{}</code>", letter.kind, str(letter.job_id)[-12:])

    @admin.display(description=gettext_lazy("Reason"))
    def why(self, letter: DeadLetter) -> SafeString:
        return badge(letter.reason)

    @admin.display(description=gettext_lazy("Error"))
    def error(self, letter: DeadLetter) -> str:
        return Truncator(f"{letter.error_type}: {letter.error_message}").chars(100) if letter.error_type else "–"

    @admin.display(description=gettext_lazy("Job"))
    def of_job(self, letter: DeadLetter) -> SafeString | str:
        return job_link(letter.job_id)

    @admin.display(description=gettext_lazy("Requeued"))
    def put_back(self, letter: DeadLetter) -> SafeString:
        if letter.requeued_job_id is None:
            return badge("waiting")
        return format_html("{} {}", badge("requeued"), job_link(letter.requeued_job_id))
