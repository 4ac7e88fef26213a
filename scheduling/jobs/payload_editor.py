"""Form to run an ended job again with an edited payload; the payload is shown only in responses to a POST."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from scheduling.jobs.payload_form.fields import PayloadField
from scheduling.jobs.reveals import reveal_payload
from scheduling.models import Job
from tenants.access.caller import Access
from tenants.console.base import ConsoleAdmin
from tenants.console.post_actions import REASON_LIMIT
from tenants.exceptions import DomainError
from tenants.models import Tenant

TEMPLATE = "scheduling/dashboards/payload_edit.html"


@dataclass(frozen=True, slots=True)
class Edited:
    """The job whose payload is edited, the form's target, and the page to return to."""

    job_id: UUID
    kind: str
    tenant: Tenant
    address: str
    back: str


class EditedPayloadForm(forms.Form):
    """The payload for a new run of the job, and the reason."""

    payload = PayloadField(
        label=gettext_lazy("Payload"), help_text=gettext_lazy("Must match the kind's schema, at most 256 KiB.")
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=REASON_LIMIT,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Kept in the audit log."),
    )

    def __init__(self, *args: Any, edited: Edited, access: Access, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["payload"].use(edited.kind, tenant=edited.tenant, access=access)  # type: ignore[attr-defined]


class PayloadEditor(ConsoleAdmin):
    """A mixin for the admins of jobs and dead letters: the payload form and its submission."""

    def open_editor(self, request: HttpRequest, edited: Edited, reason: str) -> HttpResponse:
        """Show the job's payload in a form, and record in the audit log that it was revealed."""
        revealed = reveal_payload(job_id=edited.job_id, reason=reason)
        values = {"payload": revealed.payload, "reason": reason}
        form = EditedPayloadForm(initial=values, edited=edited, access=self.access(request))
        return self._answer(request, edited, form)

    def submit_edited(
        self, request: HttpRequest, edited: Edited, run: Callable[[dict[str, Any], str], Job]
    ) -> HttpResponse:
        """Call ``run`` with the submitted payload and reason, and redirect to the new job.

        If the form is invalid or the job is refused, show the form again with the fault.
        """
        form = EditedPayloadForm(request.POST, request.FILES, edited=edited, access=self.access(request))
        if form.is_valid():
            try:
                job = run(form.cleaned_data["payload"], form.cleaned_data["reason"])
            except DomainError as refusal:
                for fault in refusal.errors or [{"detail": refusal.detail}]:
                    form.add_error("payload", f"{fault.get('field', '')} {fault['detail']}".strip())
            else:
                messages.success(request, gettext("A new job runs with the edited payload. This is its page."))
                return HttpResponseRedirect(reverse("admin:scheduling_job_change", args=[job.pk]))
        return self._answer(request, edited, form)

    def _answer(self, request: HttpRequest, edited: Edited, form: EditedPayloadForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Payload of %(kind)s") % {"kind": edited.kind},
            "opts": self.opts,
            "edited": edited,
            "form": form,
        }
        response = TemplateResponse(request, TEMPLATE, context, status=422 if form.errors else 200)
        add_never_cache_headers(response)
        return response
