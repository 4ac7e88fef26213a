"""Forms of schedules, which show each error beside its field."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django import forms
from django.db.models import Field
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminSplitDateTimeWidget, UnfoldAdminTextInputWidget

from scheduling.exceptions import ScheduleInvalidError
from scheduling.jobs.job_templates.exceptions import PermissionToRunDeniedError
from scheduling.jobs.job_templates.queries import find_templates
from scheduling.jobs.job_templates.service import TEMPLATES
from scheduling.jobs.payload_form.fields import MARKED, PayloadField, follow_kind
from scheduling.jobs.payload_form.page import tenant_of
from scheduling.kit import registry
from scheduling.models import JobTemplate, Queue, Schedule
from scheduling.schedules.definitions import EDITABLE_FIELDS, check_values
from scheduling.schedules.models import MAX_INTERVAL_SECONDS
from scheduling.schedules.recurrence import DstPolicy
from scheduling.schedules.recurrence.fires import zone_names
from tenants.access.caller import Access
from tenants.console.edit_conflicts import FIELD as SEEN
from tenants.console.keyset import parse_uuid
from tenants.models import Tenant


class SuggestWidget(UnfoldAdminTextInputWidget):
    """Text input whose browser list of known values is searched while typing."""

    def __init__(self, find_values: Callable[[], Iterable[str]]) -> None:
        super().__init__({"autocomplete": "off"})
        self.find_values = find_values

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """Return the input as HTML, followed by its list."""
        field = super().render(name, value, {**(attrs or {}), "list": f"{name}-values"}, renderer)
        options = format_html_join("", '<option value="{}"></option>', ((known,) for known in self.find_values()))
        return format_html('{}<datalist id="{}">{}</datalist>', field, f"{name}-values", options)


def offer_kinds_and_queues(form: forms.BaseForm, prefix: str = "") -> None:
    """Make the fields of kind and queue selects. A service checks them, so a stored value that is gone is kept."""
    kinds = [kind for kind in registry.kinds() if not registry.get(kind).is_internal]
    queues = Queue.objects.order_by("name").values_list("name", flat=True)
    for name, known in (("kind", kinds), ("queue", queues)):
        field = form.fields.get(f"{prefix}{name}")
        if field is not None:
            stored = form.get_initial_for_field(field, f"{prefix}{name}")
            values = sorted({*known, *([stored] if stored else [])})
            empty = gettext("by the kind's routing") if name == "queue" else "—"
            field.widget = UnfoldAdminSelectWidget(choices=[("", empty), *((value, value) for value in values)])


def payload_field(column: Field[Any, Any]) -> PayloadField:
    """Return the form field of a schedule's payload."""
    return PayloadField(required=False, label=capfirst(column.verbose_name), help_text=column.help_text)


def show_payload(
    form: forms.BaseForm, tenant: Tenant | None, access: Access | None, prefix: str = "", *, url: str = ""
) -> None:
    """Make a form show the payload by the schema of its kind, also after a change of kind, tenant or template.

    ``url`` is that of a view which calls `redraw`, if not that of every payload.
    """
    field: Any = form.fields.get(f"{prefix}payload")
    if field is not None:
        kind = form.data.get(f"{prefix}kind") or form.initial.get(f"{prefix}kind") or ""
        field.use(kind, tenant=tenant, access=access)
        for name in {f"{prefix}kind", "tenant", "template"} & set(form.fields):
            widget: Any = form.fields[name].widget
            follow_kind(getattr(widget, "widget", widget), f"{prefix}payload", kind=f"{prefix}kind", url=url)


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a schedule: its editable fields, and the reason of a change."""

    own_tenant: ClassVar[Tenant | None] = None
    access: ClassVar[Access]

    template = forms.ModelChoiceField(
        JobTemplate.objects.none(),
        label=gettext_lazy("Template"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("Runs its version in effect, with its kind and the parameters below."),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Reason of the change; kept in the audit log with the difference."),
    )
    seen_version = forms.IntegerField(
        label=gettext_lazy("Seen version"),
        required=False,
        widget=forms.HiddenInput(),
        help_text=gettext_lazy("The version that was shown."),
    )

    class Meta:
        model = Schedule
        fields = EDITABLE_FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer_kinds_and_queues(self)
        tenant = self.own_tenant or tenant_of(self.access, self.data.get("tenant", ""))
        url = reverse("admin:scheduling_schedule_payload")
        show_payload(self, tenant, self.access, url=url)
        self._offer_templates(tenant, url)
        if "timezone" in self.fields:
            self.fields["timezone"].widget = SuggestWidget(zone_names)
        if "seen_version" in self.fields:
            self.fields["seen_version"].initial = self.instance.version

    def _offer_templates(self, tenant: Tenant | None, url: str) -> None:
        """Offer the tenant's templates, and show the parameters of the chosen one instead of a payload."""
        if "kind" not in self.fields:
            return  # only shown
        field: Any = self.fields["template"]
        field.queryset = find_templates().filter(tenant=tenant)
        entered = self.data.get("template") if self.is_bound else self.initial.get("template")
        chosen = field.queryset.filter(pk=parse_uuid(str(entered or ""))).first()
        self.fields["kind"].required = chosen is None
        payload: Any = self.fields.get("payload")
        if chosen is not None and payload is not None:
            payload.use_schema(TEMPLATES.describe(chosen)["parameters"], url=url)

    def values(self) -> dict[str, Any]:
        """Return the entered values in the form that `create_schedule` and `update_schedule` take."""
        values = {name: self.cleaned_data[name] for name in EDITABLE_FIELDS if name in self.cleaned_data}
        if template := values.get("template"):
            # The select of the kind has no effect beside that of the template.
            return {**values, "template": template.name, "kind": ""}
        return values

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.data.get(SEEN):
            # The form shows changed fields one by one; the row is locked until it is saved.
            values["seen_version"] = self.instance.version
        tenant = self.own_tenant or values.get("tenant")
        # A field that Django has rejected has no value to check with the others.
        if tenant is None or self.errors:
            return values
        schedule = None if self.instance._state.adding else self.instance
        try:
            check_values(tenant=tenant, values=self.values(), schedule=schedule, access=self.access)
        except PermissionToRunDeniedError as refusal:
            self.add_error("template", refusal.detail)
        except ScheduleInvalidError as refusal:
            for fault in refusal.errors:
                name, _, part = fault["field"].partition(".")
                detail = fault["detail"]
                if part and name in self.fields:
                    self.fields[name].widget.faults.setdefault(f"$.{part}", []).append(detail)
                    detail = MARKED
                if not (detail is MARKED and name in self.errors):
                    self.add_error(name if name in self.fields else None, detail)
        return values


class TimingForm(forms.Form):
    """The fields of a schedule's form that decide its times, for a preview."""

    cron = forms.CharField(required=False, label="", max_length=300)
    interval_seconds = forms.IntegerField(required=False, label="", min_value=1, max_value=MAX_INTERVAL_SECONDS)
    once_at = forms.SplitDateTimeField(required=False, label="")
    timezone = forms.CharField(required=False, label="", empty_value="UTC", max_length=300)
    dst_policy = forms.CharField(required=False, label="", empty_value=DstPolicy.STANDARD.value, max_length=300)
    starts_at = forms.SplitDateTimeField(required=False, label="")
    ends_at = forms.SplitDateTimeField(required=False, label="")


class BackfillForm(forms.Form):
    """Form of a backfill: the first and the last time to cover, in UTC, and the reason."""

    since = forms.SplitDateTimeField(
        label=gettext_lazy("From (UTC)"),
        widget=UnfoldAdminSplitDateTimeWidget(),
        help_text=gettext_lazy("Inclusive, in UTC."),
    )
    until = forms.SplitDateTimeField(
        label=gettext_lazy("To (UTC)"),
        widget=UnfoldAdminSplitDateTimeWidget(),
        help_text=gettext_lazy("Inclusive, and not in the future."),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Kept in the audit log."),
    )
