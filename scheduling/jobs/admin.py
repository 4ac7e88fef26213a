"""Console pages of jobs: a keyset-paged list, a page for each job, and POST actions; jobs are not edited or deleted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from scheduling.bulk.admin import start_links
from scheduling.console.selected_rows import act_on_selected
from scheduling.console.tags import badge
from scheduling.console.wording import duration_words
from scheduling.controls.holds import held_by
from scheduling.controls.service import override_controls
from scheduling.execution.logs.admin import JobLogPages
from scheduling.jobs.artifacts import artifacts_of
from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.job_templates.saved_jobs import SavedJobs
from scheduling.jobs.lifecycle import REPLAYABLE_STATES, WAITING_STATES, JobState
from scheduling.jobs.list_admin import JobListPages
from scheduling.jobs.notes.page import JobNotePages
from scheduling.jobs.output import may_read_output, read_output
from scheduling.jobs.page import BODY_TEMPLATE, job_page_context
from scheduling.jobs.queries import find_jobs
from scheduling.jobs.replay_pages import JobReplayPages
from scheduling.jobs.retries import retry_job
from scheduling.jobs.reveals import reveal_payload
from scheduling.jobs.submit_page import SubmitPages
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.models import BulkOperation, Job
from tenants.access.permissions import Permission
from tenants.console.keyset import parse_uuid
from tenants.console.moments import moment
from tenants.console.polled_parts import STOP_POLLING, etag_of, part_response
from tenants.console.post_actions import post_action
from tenants.console.reason_form import ReasonActionForm
from tenants.console.site import console_site

EXPORTED_TIMES = ("run_at", "created_at", "started_at", "finished_at")
HEAVY_FIELDS = ("payload", "result", "checkpoint", "error_message", "payload_hash")
RETRIABLE_STATES = REPLAYABLE_STATES | {JobState.RETRYABLE}


@admin.register(Job, site=console_site)
class JobAdmin(SubmitPages, SavedJobs, JobNotePages, JobListPages, JobLogPages, JobReplayPages):
    """The console's pages of the jobs that the user may see, newest first."""

    view_permission = Permission.JOBS_VIEW
    action_permissions = {"retry_selected": Permission.JOBS_RETRY, "cancel_selected": Permission.JOBS_CANCEL}
    list_display = ("job", "state_badge", "queue", "attempts", "submitted", "took", "error", "glance")
    list_display_links = ("job",)
    export_fields = ("kind", "queue", "state", "priority", "fair_key", "attempt", "error_type", *EXPORTED_TIMES)
    actions = ("retry_selected", "cancel_selected")
    action_form = ReasonActionForm
    post_actions = ("retry", "edit", "cancel", "suspend", "resume", "override_controls", "reveal", "save_as_template")
    empty_title = gettext_lazy("No jobs yet")
    empty_text = gettext_lazy(
        "Submit one here, with POST /api/v1/jobs/ or with “manage.py submit_job noop --tenant SLUG --payload {}”."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        jobs = find_jobs().defer(*HEAVY_FIELDS)
        return jobs.select_related("tenant") if self.access(request).sees_all_tenants else jobs

    def get_urls(self) -> list[URLPattern]:
        body = self.guard(require_safe(self.body_view), Permission.JOBS_VIEW, cacheable=True)
        return [
            path("<uuid:object_id>/body/", body, name="scheduling_job_body"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {**(extra_context or {}), "bulk_links": start_links(self.access(request), request.GET)}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the job's page instead of a form."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = self._job(request, object_id)
        body = self._body(request, job)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Job %(id)s") % {"id": job.id},
            "opts": self.opts,
            "job": job,
            "job_body": body,
            "job_etag": etag_of(body),
            "post_actions": list(self._buttons(request, job)),
            **self.log_context(request, job),
            **self.notes_context(request, job),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "scheduling/dashboards/job_page.html", context)

    def body_view(self, request: HttpRequest, object_id: Any) -> HttpResponseBase:
        """Render the part of the job's page that changes with the job; the browser polls it until the job has ended."""
        job = self._job(request, str(object_id))
        return part_response(request, self._body(request, job), status=STOP_POLLING if job.is_terminal else 200)

    def peek_context(self, request: HttpRequest, job_id: UUID) -> dict[str, Any]:
        """Return the template context of the panel that shows a job beside the list."""
        job = self._job(request, str(job_id))
        return {"peek_job": job, "peek_body": self._body(request, job)}

    def _job(self, request: HttpRequest, object_id: str) -> Job:
        job_id = parse_uuid(object_id)
        job = find_jobs().select_related("tenant", "batch").filter(pk=job_id).first() if job_id else None
        if job is None:
            raise Http404(_("There is no such job."))
        return job

    def _body(self, request: HttpRequest, job: Job) -> SafeString:
        access = self.access(request)
        context = {
            **job_page_context(job),
            "shows_audit": access.may(Permission.AUDIT_VIEW),
            "outputs": read_output(job) if may_read_output(access) else (),
            "artifacts": artifacts_of(job) if access.may(Permission.FILES_VIEW) else (),
        }
        return render_to_string(BODY_TEMPLATE, context, request)

    @post_action(
        label=gettext_lazy("Reveal payload"),
        consequence=gettext_lazy("The payload is shown once, and the audit log records that you have seen it."),
        permission=Permission.JOBS_REVEAL,
        asks_reason=True,
    )
    def reveal(self, request: HttpRequest, job: Job, reason: str) -> HttpResponse:
        """Show the payload in the response to this POST only, so that no URL, cache or message contains it."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("Payload of job %(id)s") % {"id": job.pk},
            "opts": self.opts,
            "revealed": reveal_payload(job_id=job.pk, reason=reason),
        }
        response = TemplateResponse(request, "scheduling/dashboards/job_revealed.html", context)
        add_never_cache_headers(response)
        return response

    @post_action(
        label=gettext_lazy("Retry"),
        consequence=gettext_lazy(
            "A job that waits for its retry is ready at once. An ended job stays on record, and a new one runs."
        ),
        permission=Permission.JOBS_RETRY,
        asks_reason=True,
        is_offered=lambda job: job.state in RETRIABLE_STATES,
    )
    def retry(self, request: HttpRequest, job: Job, reason: str) -> str | HttpResponse:
        result = retry_job(job_id=job.pk, reason=reason)
        if not result.is_new:
            return _("The job is available again, without waiting for its back-off.")
        messages.success(request, _("A new job repeats the work. This is its page."))
        return HttpResponseRedirect(reverse("admin:scheduling_job_change", args=[result.job.pk]))

    @post_action(
        label=gettext_lazy("Cancel"),
        consequence=gettext_lazy(
            "A waiting job ends at once, a running one at its next safe point. It does not run again."
        ),
        permission=Permission.JOBS_CANCEL,
        asks_reason=True,
        is_danger=True,
        is_offered=lambda job: not job.is_terminal,
    )
    def cancel(self, request: HttpRequest, job: Job, reason: str) -> str:
        cancelled = cancel_job(job_id=job.pk, reason=reason)
        if cancelled.is_terminal:
            return _("The job is cancelled.")
        return _("The job will stop at its next safe point.")

    @post_action(
        label=gettext_lazy("Suspend"),
        consequence=gettext_lazy("The job does not start until it is resumed."),
        permission=Permission.JOBS_CANCEL,
        asks_reason=True,
        is_offered=lambda job: job.state in WAITING_STATES,
    )
    def suspend(self, request: HttpRequest, job: Job, reason: str) -> str:
        suspend_job(job_id=job.pk, reason=reason)
        return _("The job is suspended until it is resumed.")

    @post_action(
        label=gettext_lazy("Resume"),
        consequence=gettext_lazy("The job waits for a slot again."),
        permission=Permission.JOBS_CANCEL,
        asks_reason=True,
        is_offered=lambda job: job.state == JobState.SUSPENDED,
    )
    def resume(self, request: HttpRequest, job: Job, reason: str) -> str:
        resume_job(job_id=job.pk, reason=reason)
        return _("The job is available again.")

    @post_action(
        label=gettext_lazy("Override controls"),
        consequence=gettext_lazy("The job waits for a slot, and is exempt from the controls that hold it."),
        permission=Permission.CONTROLS_OVERRIDE,
        asks_reason=True,
        is_danger=True,
        is_offered=lambda job: job.state == JobState.SUSPENDED and bool(held_by(job.pk)),
    )
    def override_controls(self, request: HttpRequest, job: Job, reason: str) -> str:
        override_controls(job_id=job.pk, reason=reason)
        return _("The controls are overridden for this job.")

    @admin.action(description=gettext_lazy("Retry the selected jobs"))
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._act_on(request, BulkOperation.Operation.RETRY, queryset)

    @admin.action(description=gettext_lazy("Cancel the selected jobs"))
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._act_on(request, BulkOperation.Operation.CANCEL, queryset)

    def _act_on(self, request: HttpRequest, operation: str, queryset: QuerySet[Job]) -> None:
        act_on_selected(request, operation, list(queryset.values_list("pk", "tenant__slug")))

    @admin.display(description=gettext_lazy("Job"))
    def job(self, job: Job) -> SafeString:
        return format_html("<b>{}</b> <code class='console-quiet'>…{}</code>", job.kind, str(job.id)[-12:])

    @admin.display(description=gettext_lazy("State"))
    def state_badge(self, job: Job) -> SafeString:
        return badge(job.state)

    @admin.display(description=gettext_lazy("Attempts"))
    def attempts(self, job: Job) -> str:
        return _("%(attempt)s of %(most)s") % {"attempt": job.started_attempts, "most": job.max_retries + 1}

    @admin.display(description=gettext_lazy("Submitted"))
    def submitted(self, job: Job) -> SafeString | str:
        return moment(job.created_at)

    @admin.display(description=gettext_lazy("Duration"))
    def took(self, job: Job) -> str:
        return duration_words(job.finished_at - job.created_at) if job.finished_at else "–"

    @admin.display(description=gettext_lazy("Error"))
    def error(self, job: Job) -> str:
        return job.error_type or "–"

    @admin.display(description=gettext_lazy("Peek"))
    def glance(self, job: Job) -> SafeString:
        return format_html(
            '<a class="console-link" data-peek="{}" href="{}" aria-label="{}">{}</a>',
            reverse("admin:scheduling_job_body", args=[job.pk]),
            reverse("admin:scheduling_job_change", args=[job.pk]),
            _("Peek at job %(id)s") % {"id": job.pk},
            _("Peek"),
        )
