"""Console pages that run an ended job again with an edited payload."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from scheduling.jobs.lifecycle import REPLAYABLE_STATES
from scheduling.jobs.payload_editor import Edited, PayloadEditor
from scheduling.jobs.payload_form.page import payload_view
from scheduling.jobs.queries import find_jobs
from scheduling.jobs.retries import replay_job
from scheduling.models import Job
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin
from tenants.console.post_actions import post_action
from tenants.database.reads import first_or_raise


class JobReplayPages(PayloadEditor, KeysetAdmin):
    """A mixin for the admin of jobs: the action that shows the payload in a form, and the view that submits it."""

    def get_urls(self) -> list[URLPattern]:
        edited = self.guard(require_POST(self.replay_view), Permission.JOBS_REVEAL, takes_files=True)
        fields = self.guard(require_POST(payload_view), Permission.JOBS_VIEW)
        return [
            path("<uuid:object_id>/replay/", edited, name="scheduling_job_replay"),
            path("payload/", fields, name="scheduling_job_payload"),
            *super().get_urls(),
        ]

    @post_action(
        label=gettext_lazy("Edit payload and retry"),
        consequence=gettext_lazy("The payload is shown in a form, and the audit log records that you have seen it."),
        permission=Permission.JOBS_REVEAL,
        asks_reason=True,
        is_offered=lambda job: job.state in REPLAYABLE_STATES,
    )
    def edit(self, request: HttpRequest, job: Job, reason: str) -> HttpResponse:
        """Show the payload in a form, in the response to this POST only."""
        return self.open_editor(request, _edited(job), reason)

    def replay_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Run the ended job again, as a new job, with the payload entered in the form."""
        if not self.access(request).may(Permission.JOBS_RETRY):
            raise PermissionDenied
        job = first_or_raise(find_jobs().filter(pk=object_id), Http404("There is no such job."))

        def run(payload: dict[str, Any], reason: str) -> Job:
            return replay_job(job_id=job.pk, payload=payload, reason=reason)

        return self.submit_edited(request, _edited(job), run)


def _edited(job: Job) -> Edited:
    return Edited(
        job_id=job.pk,
        kind=job.kind,
        tenant=job.tenant,
        address=reverse("admin:scheduling_job_replay", args=[job.pk]),
        back=reverse("admin:scheduling_job_change", args=[job.pk]),
    )
