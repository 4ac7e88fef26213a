"""Pages of dead letters beside their list: groups by cause, and an edited payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext, gettext_lazy

from scheduling.admin.payload_editor import Edited, PayloadEditor
from scheduling.exceptions import DeadLetterNotFoundError
from scheduling.filters import JobFilter
from scheduling.filters.fields import NO
from scheduling.models import BulkOperation, DeadLetter, Job
from scheduling.selectors.dead_letter_groups import MAX_GROUPS, group_dead_letters
from scheduling.selectors.dead_letters import get_dead_letter
from scheduling.services.dead_letters import requeue_dead_letter
from tenants.admin.keyset import KeysetAdmin
from tenants.admin.post_actions import post_action
from tenants.permissions import Permission

GROUPS_TEMPLATE = "scheduling/dashboards/dead_letter_groups.html"


class DeadLetterPages(PayloadEditor, KeysetAdmin):
    """What the admin of dead letters takes from here: two addresses, and the act that opens the editor."""

    def get_urls(self) -> list[URLPattern]:
        groups = self.guard(self.groups_view, Permission.JOBS_VIEW)
        edited = self.guard(self.requeue_edited_view, Permission.JOBS_REVEAL)
        return [
            path("groups/", groups, name="scheduling_deadletter_groups"),
            path("<uuid:object_id>/requeue-edited/", edited, name="scheduling_deadletter_requeue_edited"),
            *super().get_urls(),
        ]

    def groups_view(self, request: HttpRequest) -> HttpResponse:
        """The causes of what waits, most letters first."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        found = group_dead_letters()
        urls = [self.requeue_all_url(request, cause_of(group.kind, group.fingerprint)) for group in found.groups]
        context = {
            "found": found,
            "rows": list(zip(found.groups, urls, strict=True)),
            "shown": MAX_GROUPS,
            "names_tenants": self.access(request).sees_all_tenants,
            "may_requeue": any(urls),
        }
        return self._page(request, GROUPS_TEMPLATE, gettext("Dead letters by cause"), context)

    def requeue_all_url(self, request: HttpRequest, letters: JobFilter) -> str:
        """Return where the letters of a filter are requeued, or nothing for a reader who may not."""
        access = self.access(request)
        if not (access.may(Permission.JOBS_RETRY) and access.may(Permission.JOBS_BULK)):
            return ""
        query = urlencode({"operation": BulkOperation.Operation.REQUEUE.value, "filter": letters.text})
        return f"{reverse('admin:scheduling_bulkoperation_start')}?{query}"

    @post_action(
        label=gettext_lazy("Edit payload and requeue"),
        permission=Permission.JOBS_REVEAL,
        asks_reason=True,
        is_offered=lambda letter: letter.requeued_at is None,
    )
    def edit(self, request: HttpRequest, letter: DeadLetter, reason: str) -> HttpResponse:
        """The payload in a form, in the answer to this POST alone; that it was shown stands in the audit log."""
        return self.open_editor(request, _edited(letter), reason)

    def requeue_edited_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Run the letter's job anew with what stands in the form; a fault is said beside what was typed."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.access(request).may(Permission.JOBS_RETRY):
            raise PermissionDenied
        try:
            letter = get_dead_letter(object_id)
        except DeadLetterNotFoundError as error:
            raise Http404(error.detail) from error

        def run(payload: dict[str, Any], reason: str) -> Job:
            return requeue_dead_letter(dead_letter_id=letter.pk, reason=reason, payload=payload)

        return self.submit_edited(request, _edited(letter), run)

    def _page(
        self, request: HttpRequest, template: str, title: str, context: Mapping[str, Any], status: int = 200
    ) -> HttpResponse:
        shared = self.admin_site.each_context(request)
        return TemplateResponse(
            request, template, {**shared, "title": title, "opts": self.opts, **context}, status=status
        )


def cause_of(kind: str, fingerprint: str) -> JobFilter:
    """Return the filter of the waiting letters of one cause."""
    return JobFilter.of(kind=kind, fingerprint=fingerprint, requeued=NO)


def _edited(letter: DeadLetter) -> Edited:
    return Edited(
        job_id=letter.job_id,
        kind=letter.kind,
        address=reverse("admin:scheduling_deadletter_requeue_edited", args=[letter.pk]),
        back=reverse("admin:scheduling_deadletter_change", args=[letter.pk]),
    )
