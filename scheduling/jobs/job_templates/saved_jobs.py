"""Action that saves a job as a template, for the admin of jobs."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from scheduling.jobs.job_templates.service import save_as_template
from scheduling.models import Job
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.base import ConsoleAdmin
from tenants.console.post_actions import post_action
from tenants.identity.step_up import ask_for_factor


class SavedJobs(ConsoleAdmin):
    """A mixin for the admin of jobs: the action `save_as_template`."""

    @post_action(
        label=gettext_lazy("Save as template"),
        consequence=gettext_lazy(
            "A template with the job's kind, payload and options is created; its page shows the payload, "
            "and the audit log records that."
        ),
        permission=Permission.TEMPLATES_MANAGE,
        asks_reason=True,
    )
    def save_as_template(self, request: HttpRequest, job: Job, reason: str) -> str | HttpResponse:
        if not access_of(request).may(Permission.JOBS_REVEAL):
            return gettext("It needs the right to reveal payloads too.")
        if (asked := ask_for_factor(request, Permission.JOBS_REVEAL, self._page_of(job))) is not None:
            return asked
        template = save_as_template(job_id=job.pk, reason=reason)
        messages.success(request, gettext("This is the template. Give it a name, and replace values by parameters."))
        return HttpResponseRedirect(reverse("admin:scheduling_jobtemplate_change", args=[template.pk]))
