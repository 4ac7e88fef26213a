"""The console's form that submits a job: its fields come from the kind, and it shows where the job would go."""

from __future__ import annotations

import json
import shlex
from pprint import pformat
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from scheduling.exceptions import (
    IdempotencyMismatchError,
    OptionInvalidError,
    PayloadInvalidError,
    PriorityNotAllowedError,
)
from scheduling.jobs.payload_form.fields import PayloadField, follow_kind
from scheduling.jobs.payload_form.page import tenant_of
from scheduling.jobs.requests import MAX_FAIR_KEY_CHARACTERS, MAX_KEY_CHARACTERS, JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.jobs.submission_preview import preview_submission
from scheduling.kit import registry
from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.api.input import format_moment
from tenants.console.base import ConsoleAdmin
from tenants.console.json_fields import JSONObjectField
from tenants.exceptions import DomainError
from tenants.limits.declared import SEARCH, costs
from tenants.models import Tenant

TEMPLATE = "scheduling/dashboards/submit_job.html"
PREVIEW_TEMPLATE = "scheduling/dashboards/parts/submit_preview.html"
_FIELD_OF_ERROR = {
    PayloadInvalidError: "payload",
    PriorityNotAllowedError: "priority",
    IdempotencyMismatchError: "idempotency_key",
}


class MomentInput(UnfoldAdminTextInputWidget):
    """A browser's input of a date with a time."""

    input_type = "datetime-local"


def _option(field: type[forms.Field], label: Any, text: Any, **given: Any) -> Any:
    widget = MomentInput() if field is forms.DateTimeField else UnfoldAdminTextInputWidget()
    return field(label=label, help_text=text, required=False, widget=widget, **given)


class SubmitForm(forms.Form):
    """One job to be submitted: tenant, kind and payload, and its options."""

    kind = forms.ChoiceField(label=gettext_lazy("Kind"), widget=UnfoldAdminSelectWidget())
    payload = PayloadField(label=gettext_lazy("Payload"))
    priority = _option(
        forms.IntegerField,
        gettext_lazy("Priority"),
        gettext_lazy("Orders the tenant's own jobs; higher runs earlier."),
        min_value=-(2**15),
        max_value=2**15 - 1,
    )
    run_at = _option(
        forms.DateTimeField, gettext_lazy("Run at (UTC)"), gettext_lazy("Not started before this time. Empty: now.")
    )
    deadline = _option(
        forms.DateTimeField, gettext_lazy("Deadline (UTC)"), gettext_lazy("Discarded if not completed by this time.")
    )
    tags = _option(forms.CharField, gettext_lazy("Tags"), gettext_lazy("Separated by commas."))
    fair_key = _option(
        forms.CharField,
        gettext_lazy("Fair key"),
        gettext_lazy("Such as a user's id; slots are shared fairly between the tenant's keys."),
        max_length=MAX_FAIR_KEY_CHARACTERS,
    )
    idempotency_key = _option(
        forms.CharField,
        gettext_lazy("Idempotency key"),
        gettext_lazy("A repeated key returns the first job."),
        max_length=MAX_KEY_CHARACTERS,
    )
    meta = JSONObjectField(
        label=gettext_lazy("Meta"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=gettext_lazy('A JSON object, such as {"order": 4711}: shown with the job, found by meta.order:4711.'),
    )

    def __init__(self, *args: Any, access: Access, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = [kind for kind in registry.kinds() if not registry.get(kind).is_internal]
        self.fields["kind"].choices = [("", "–"), *((kind, kind) for kind in kinds)]  # type: ignore[attr-defined]
        given = self.data if self.is_bound else self.initial
        self.tenant = tenant_of(access, str(given.get("tenant") or ""))
        if access.sees_all_tenants:
            tenants = Tenant.objects.order_by("slug")
            choice = forms.ModelChoiceField(
                tenants, label=gettext("Tenant"), widget=UnfoldAdminSelectWidget(), help_text=gettext("Runs the job.")
            )
            self.fields = {"tenant": choice, **self.fields}
            follow_kind(choice.widget, "payload")
        kind = given.get("kind") if given.get("kind") in kinds else ""
        self.fields["payload"].use(kind, tenant=self.tenant, access=access)  # type: ignore[attr-defined]
        follow_kind(self.fields["kind"].widget, "payload")

    def clean(self) -> dict[str, Any] | None:
        """Refuse another tenant than that of a caller who sees no other."""
        given = self.data.get("tenant")
        if given and self.tenant is not None and given != str(self.tenant.pk):
            raise forms.ValidationError(gettext("There is no such object."))
        return super().clean()

    @property
    def main_fields(self) -> list[forms.BoundField]:
        """Return the fields that each job needs."""
        return [self[name] for name in ("tenant", "kind", "payload") if name in self.fields]

    @property
    def options(self) -> list[forms.BoundField]:
        """Return the other fields."""
        return [field for field in self if field.name not in ("tenant", "kind", "payload")]

    @property
    def has_option_errors(self) -> bool:
        """Return whether one of the options is wrong."""
        return any(field.errors for field in self.options)

    @property
    def request(self) -> JobRequest:
        """Return the request of the fields that are valid; those that are not have their defaults."""
        given = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        given.pop("tenant", None)
        tags = [tag.strip() for tag in given.pop("tags", "").split(",")]
        return JobRequest(**{"kind": "", **given}, tags=tuple(dict.fromkeys(filter(None, tags))))

    def refuse(self, refusal: DomainError) -> None:
        """Add the errors of a refused submission, each to its field if it has one."""
        name = _FIELD_OF_ERROR.get(type(refusal))
        if isinstance(refusal, OptionInvalidError):
            # The text of such an error begins with the option.
            name = str(refusal).partition(" ")[0]
        for fault in refusal.errors or [{"detail": refusal.detail}]:
            self.add_error(name if name in self.fields else None, fault["detail"])


class SubmitPages(ConsoleAdmin):
    """A mixin for the admin of jobs: the form that submits a job, and its preview."""

    def get_urls(self) -> list[URLPattern]:
        submit = self.guard(
            require_http_methods(["GET", "HEAD", "POST"])(self.submit_view), Permission.JOBS_SUBMIT, takes_files=True
        )
        preview = self.guard(require_POST(self.submit_preview_view), Permission.JOBS_SUBMIT)
        return [
            path("submit/", submit, name="scheduling_job_submit"),
            path("submit/preview/", preview, name="scheduling_job_submit_preview"),
            *super().get_urls(),
        ]

    def submit_view(self, request: HttpRequest) -> HttpResponse:
        """Show the form; on POST submit the job and redirect to its page."""
        access = self.access(request)
        if request.method == "POST":
            form = SubmitForm(request.POST, request.FILES, access=access)
            if form.is_valid() and (done := self._submit(request, form)):
                return done
        else:
            form = SubmitForm(initial={name: request.GET.get(name) for name in ("kind", "tenant")}, access=access)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Submit a job"),
            "opts": self.opts,
            "form": form,
        }
        return TemplateResponse(request, TEMPLATE, context, status=422 if form.errors else 200)

    def _submit(self, request: HttpRequest, form: SubmitForm) -> HttpResponse | None:
        """Submit the job of a valid form; return None if it is refused."""
        assert form.tenant is not None
        is_rate_limited = self.access(request).platform_role is None
        try:
            done = submit_job(tenant=form.tenant, request=form.request, is_rate_limited=is_rate_limited)
        except DomainError as refusal:
            form.refuse(refusal)
            return None
        new, known = gettext("The job is submitted. This is its page."), gettext("The key already has this job.")
        messages.success(request, new if done.created else known)
        return HttpResponseRedirect(reverse("admin:scheduling_job_change", args=[done.job.pk]))

    @costs(SEARCH)
    def submit_preview_view(self, request: HttpRequest) -> HttpResponse:
        """Show the queue and the expected start of the posted job, and the same request as curl and as Python."""
        form = SubmitForm(request.POST, access=self.access(request))
        context: dict[str, Any] = {"form": form, "is_valid": form.is_valid()}
        asked = form.request
        if form.tenant is not None and asked.kind:
            try:
                context["queue"], context["waiting"] = preview_submission(tenant=form.tenant, request=asked)
            except DomainError as refusal:
                context["refusal"] = refusal.detail
        if context["is_valid"]:
            url = request.build_absolute_uri(reverse("job-list"))
            context |= {"curl": as_curl(asked, url), "python": as_python(asked, url)}
        return render(request, PREVIEW_TEMPLATE, context)


def body_of(asked: JobRequest) -> dict[str, Any]:
    """Return the body of an API request for the job, without the values that are the default."""
    given = {name: getattr(asked, name) for name in ("priority", "fair_key", "meta")}
    moments = {name: format_moment(getattr(asked, name)) for name in ("run_at", "deadline")}
    options = given | moments | {"tags": list(asked.tags)}
    return {"kind": asked.kind, "payload": asked.payload} | {
        name: value for name, value in options.items() if value not in (None, "", [], {})
    }


def as_curl(asked: JobRequest, url: str) -> str:
    """Return the shell command that submits the job over the API."""
    headers = ["Content-Type: application/json"]
    headers += [f"Idempotency-Key: {asked.idempotency_key}"] if asked.idempotency_key else []
    lines = [f"curl {shlex.quote(url)}", '-H "Authorization: Api-Key $API_KEY"']
    lines += [f"-H {shlex.quote(header)}" for header in headers]
    lines.append(f"-d {shlex.quote(json.dumps(body_of(asked), ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def as_python(asked: JobRequest, url: str) -> str:
    """Return the Python program that submits the job over the API."""
    headers = {"Idempotency-Key": asked.idempotency_key} if asked.idempotency_key else {}
    return (
        "import os\n\nimport requests\n\n"
        f"headers = {{'Authorization': f\"Api-Key {{os.environ['API_KEY']}}\"}} | {headers!r}\n"
        f"body = {pformat(body_of(asked), sort_dicts=False, width=100)}\n"
        f"response = requests.post({url!r}, json=body, headers=headers, timeout=30)\n"
        "response.raise_for_status()\n"
    )
