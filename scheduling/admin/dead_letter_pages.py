"""Pages of dead letters beside their list: groups, requeueing by filter with a dry run, an edited payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext

from scheduling.admin.dead_letter_forms import RequeueForm
from scheduling.admin.payload_editor import Edited, PayloadEditor
from scheduling.exceptions import DeadLetterNotFoundError
from scheduling.models import DeadLetter, Job
from scheduling.selectors.dead_letter_groups import MAX_GROUPS, group_dead_letters
from scheduling.selectors.dead_letters import get_dead_letter
from scheduling.services.dead_letters import (
    MAX_REQUEUED,
    RequeueBatch,
    RequeuePreview,
    preview_requeue,
    requeue_dead_letter,
    requeue_matching,
)
from tenants.admin.keyset import KeysetAdmin
from tenants.admin.post_actions import post_action
from tenants.exceptions import DomainError
from tenants.permissions import Permission

GROUPS_TEMPLATE = "scheduling/dashboards/dead_letter_groups.html"
REQUEUE_TEMPLATE = "scheduling/dashboards/dead_letter_requeue.html"
SHOWN_REFUSALS = 20


class DeadLetterPages(PayloadEditor, KeysetAdmin):
    """What the admin of dead letters takes from here: three addresses, and the act that opens the editor."""

    def get_urls(self) -> list[URLPattern]:
        groups = self.guard(self.groups_view, Permission.JOBS_VIEW)
        requeue = self.guard(self.requeue_view, Permission.JOBS_RETRY)
        edited = self.guard(self.requeue_edited_view, Permission.JOBS_REVEAL)
        return [
            path("groups/", groups, name="scheduling_deadletter_groups"),
            path("requeue/", requeue, name="scheduling_deadletter_requeue"),
            path("<uuid:object_id>/requeue-edited/", edited, name="scheduling_deadletter_requeue_edited"),
            *super().get_urls(),
        ]

    def groups_view(self, request: HttpRequest) -> HttpResponse:
        """The causes of what waits, most letters first."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        context = {
            "found": group_dead_letters(),
            "shown": MAX_GROUPS,
            "names_tenants": self.access(request).sees_all_tenants,
            "may_requeue": self.access(request).may(Permission.JOBS_RETRY),
        }
        return self._page(request, GROUPS_TEMPLATE, gettext("Dead letters by cause"), context)

    def requeue_view(self, request: HttpRequest) -> HttpResponse:
        """Say how many a filter means and show the first of them; on the second press requeue a batch."""
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        access = self.access(request)
        rights = {"sees_all_tenants": access.sees_all_tenants, "may_edit": access.may(Permission.JOBS_REVEAL)}
        form = RequeueForm(request.POST if request.method == "POST" else request.GET, **rights)
        preview: RequeuePreview | None = None
        batch: RequeueBatch | None = None
        if form.is_valid():
            preview, batch = self._requeue(form, is_act=request.method == "POST" and "run" in request.POST)
        if batch is not None and batch.cursor is not None:
            form.data = form.data.copy()  # type: ignore[attr-defined] # a QueryDict
            form.data["cursor"] = str(batch.cursor)  # type: ignore[index]
        context = {
            "form": form,
            "preview": preview,
            "batch": batch,
            "refused_sample": list(batch.refused.items())[:SHOWN_REFUSALS] if batch else [],
            "most": MAX_REQUEUED,
            "needs_number": preview is not None and form.needs_number(preview.count),
        }
        return self._page(request, REQUEUE_TEMPLATE, gettext("Requeue dead letters"), context)

    def _requeue(self, form: RequeueForm, *, is_act: bool) -> tuple[RequeuePreview | None, RequeueBatch | None]:
        given = form.cleaned_data
        letters, patch = form.to_filter(), given.get("payload_patch")
        try:
            preview = preview_requeue(letter_filter=letters, payload_patch=patch)
            # Whoever goes on has typed the number at the beginning.
            if not is_act or (given["cursor"] is None and not form.require_number(preview.count)):
                return preview, None
            batch = requeue_matching(
                letter_filter=letters, payload_patch=patch, cursor=given["cursor"], reason=given["reason"]
            )
            return preview_requeue(letter_filter=letters, payload_patch=patch), batch
        except DomainError as refusal:
            form.add_error(None, refusal.detail)
            return None, None

    @post_action(
        label="Edit payload and requeue",
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


def _edited(letter: DeadLetter) -> Edited:
    return Edited(
        job_id=letter.job_id,
        kind=letter.kind,
        address=reverse("admin:scheduling_deadletter_requeue_edited", args=[letter.pk]),
        back=reverse("admin:scheduling_deadletter_change", args=[letter.pk]),
    )
