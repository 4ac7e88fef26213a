"""The notes on a job's page, and the view that adds one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from scheduling.exceptions import JobNotFoundError
from scheduling.jobs.notes.service import MAX_NOTES, add_note, notes_of
from scheduling.models import Job
from tenants.access.permissions import Permission
from tenants.console.base import ConsoleAdmin
from tenants.exceptions import DomainError


class JobNotePages(ConsoleAdmin):
    """A mixin for the admin of jobs: the notes, and the form that adds one."""

    def get_urls(self) -> list[URLPattern]:
        add = self.guard(require_POST(self.add_note_view), Permission.JOBS_SUBMIT)
        return [path("<uuid:object_id>/notes/", add, name="scheduling_job_notes"), *super().get_urls()]

    def notes_context(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        """Return the template context of the notes."""
        may_add = self.access(request).may(Permission.JOBS_SUBMIT)
        return {"notes": list(notes_of(job)[:MAX_NOTES]), "may_add_note": may_add}

    def add_note_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Add the posted note, and return to the job's page."""
        try:
            add_note(job_id=object_id, text=request.POST.get("text", ""))
        except JobNotFoundError as error:
            raise Http404(error.detail) from error
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(request, gettext("The note is added."))
        return HttpResponseRedirect(f"{reverse('admin:scheduling_job_change', args=[object_id])}#job-notes")
