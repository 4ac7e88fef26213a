"""Console pages of investigations: the suspects with their evidence, what was done before, and the outcome."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from scheduling.console.filters import TenantFilter
from scheduling.console.links import job_link
from scheduling.investigation.case import SUBJECT
from scheduling.investigation.service import investigate, outcome_words, record_outcome
from scheduling.models import Investigation
from tenants.access.permissions import Permission
from tenants.console.base import TenantScopedAdmin
from tenants.console.keyset import parse_uuid
from tenants.console.links import console_link
from tenants.console.moments import moment
from tenants.console.post_actions import parse_moment
from tenants.console.site import console_site
from tenants.console.tenant_choice import tenant_field
from tenants.models import Tenant

# The page of what a suspect refers to.
_PAGES = {
    "alert": "scheduling_alert_change",
    "audit": "tenants_auditlogentry_change",
    "circuit": "scheduling_circuit_change",
    "worker": "scheduling_worker_change",
}


@admin.register(Investigation, site=console_site)
class InvestigationAdmin(TenantScopedAdmin):
    """Admin pages of investigations, newest first."""

    # The suspects are also entries of the audit log.
    view_permission = add_permission = Permission.AUDIT_VIEW
    change_permission = Permission.ALERTS_RESPOND
    ordering = ("-pk",)
    list_display = ("label", "began_at", "first_suspect", "outcome", "asked_by", "asked_at")
    list_filter = (TenantFilter,)
    empty_title = gettext_lazy("No investigations yet")
    empty_text = gettext_lazy(
        "Alerts, causes of failures and the table of the heat map have a link to investigate them."
    )
    fieldsets = (
        (None, {"fields": ("about", "began_at", "ended_at", "asked_by", "asked_at", "unread")}),
        (gettext_lazy("Suspects"), {"fields": ("ranked",)}),
        (gettext_lazy("First failure"), {"fields": ("first",)}),
        (gettext_lazy("Resources at that time"), {"fields": ("state",)}),
        (gettext_lazy("Before"), {"fields": ("earlier",)}),
        (gettext_lazy("Outcome"), {"fields": ("cause", "has_helped", "note", "answered_by")}),
    )
    readonly_fields = (
        "about", "began_at", "ended_at", "asked_by", "asked_at", "unread", "ranked", "first", "state", "earlier",
        "answered_by",
    )  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None:
            return super().get_fieldsets(request, obj)
        asked = [name for name in SUBJECT if name != "only_tenant" or self.access(request).tenant is None]
        return ((None, {"fields": asked}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj is not None else ()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "only_tenant":
            return tenant_field()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, **kwargs)
        if (field := form.base_fields.get("cause")) is not None:
            titles = [(number, f"{number}. {one['title']}") for number, one in enumerate(obj.suspects, start=1)]
            form.base_fields["cause"] = forms.TypedChoiceField(
                label=field.label,
                required=False,
                choices=[("", _("another cause")), *titles],
                coerce=int,
                empty_value=None,
                widget=UnfoldAdminSelectWidget(),
            )
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        if slug := request.GET.get("tenant"):
            initial["only_tenant"] = Tenant.objects.filter(slug=slug[:100]).values_list("pk", flat=True).first()
        return initial | {name: parse_moment(initial[name]) for name in ("began_at", "ended_at") if name in initial}

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        if change:
            values = {name: form.cleaned_data[name] for name in ("cause", "has_helped", "note")}
            record_outcome(investigation_id=obj.pk, **values)
        else:
            investigate(obj)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:scheduling_investigation_change", args=[obj.pk]))

    @admin.display(description=gettext_lazy("about"))
    def about(self, row: Investigation) -> SafeString | str:
        """Return the subject, as a link to its alert or to its failures."""
        if row.alert:
            return console_link(reverse("admin:scheduling_alert_change", args=[row.alert]), row.label)
        if row.fingerprint:
            return console_link(reverse("admin:error_occurrences", args=[row.fingerprint]), row.label)
        return row.label

    @admin.display(description=gettext_lazy("First suspect"))
    def first_suspect(self, row: Investigation) -> str:
        return str(row.suspects[0]["title"]) if row.suspects else _("none")

    @admin.display(description=gettext_lazy("Not read"))
    def unread(self, row: Investigation) -> str:
        """Return the sources that could not be read in time."""
        return ", ".join(_(name) for name in row.evidence.get("unread", ())) or "–"

    @admin.display(description=gettext_lazy("Most likely first"))
    def ranked(self, row: Investigation) -> SafeString | str:
        items = (
            (_linked(one["ref"], one["title"]), f"{one['score']:.2f}", _at(one["at"]), _list(one["evidence"]))
            for one in row.suspects
        )
        found = format_html_join("", "<li><b>{}</b> ({}) {}{}</li>", items)
        if not found:
            return _("Nothing changed before, and no value explains it.")
        return format_html('<ol class="console-list">{}</ol>', found)

    @admin.display(description=gettext_lazy("Job"))
    def first(self, row: Investigation) -> SafeString | str:
        if not (first := row.evidence.get("first")):
            return "–"
        timeline = console_link(f"{reverse('admin:correlation')}?job={first['job']}", _("Timeline"))
        job = job_link(parse_uuid(first["job"]))
        return format_html("{} {} {} {}", _at(first["at"]), job, timeline, first["message"])

    @admin.display(description=gettext_lazy("Slots and queues"))
    def state(self, row: Investigation) -> SafeString | str:
        return _list(row.evidence.get("state", ())) or "–"

    @admin.display(description=gettext_lazy("Earlier alerts and investigations"))
    def earlier(self, row: Investigation) -> SafeString | str:
        items = ((_at(one["at"]), one["outcome"], _list(one["acts"])) for one in row.evidence.get("earlier") or ())
        return format_html_join("", "<p>{}: {}</p>{}", items) or "–"

    @admin.display(description=gettext_lazy("Outcome"))
    def outcome(self, row: Investigation) -> str:
        return outcome_words(row) or "–"


def _at(text: str | None) -> SafeString | str:
    return moment(datetime.fromisoformat(text), "absolute") if text else ""


def _linked(ref: str, title: str) -> SafeString | str:
    kind, _colon, value = ref.partition(":")
    if kind == "jobs":
        return console_link(f"{reverse('admin:scheduling_job_changelist')}?{urlencode({'q': value})}", title)
    return console_link(reverse(f"admin:{_PAGES[kind]}", args=[value]), title) if kind in _PAGES else title


def _list(texts: Iterable[str]) -> SafeString | str:
    items = format_html_join("", "<li>{}</li>", ((text,) for text in texts))
    return format_html('<ul class="console-list">{}</ul>', items) if items else ""
