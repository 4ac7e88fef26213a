"""Forms of job templates."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from scheduling.jobs.job_templates.content_fields import (
    DeclarationsField,
    TemplatePayloadField,
    draw_again_on_change,
)
from scheduling.jobs.job_templates.models import JobTemplate
from scheduling.jobs.job_templates.parameters import references_to
from scheduling.jobs.job_templates.service import TEMPLATES, TemplateContent
from scheduling.jobs.payload_form.page import tenant_of
from scheduling.kit import registry
from tenants.access.caller import Access
from tenants.models import Role, Tenant
from tenants.versions.admin import VersionForm


class JobTemplateForm(VersionForm):
    """Form of a template, with the content in effect. A changed content is saved as the next version."""

    own_tenant: ClassVar[Tenant | None] = None
    access: ClassVar[Access]

    runners = forms.MultipleChoiceField(
        label=gettext_lazy("Who may run it"),
        required=False,
        choices=Role.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Roles that may run it although they may not submit other jobs."),
    )
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), widget=UnfoldAdminSelectWidget)
    payload = TemplatePayloadField(
        label=gettext_lazy("Payload"),
        required=False,
        help_text=gettext_lazy("{{ parameters.name }} stands for a parameter, in a field or within a text."),
    )
    parameters = DeclarationsField(
        label=gettext_lazy("Parameters"),
        required=False,
        help_text=gettext_lazy("Entered when the template is run; a parameter without a default must be given."),
    )
    queue = forms.CharField(
        label=gettext_lazy("Queue"),
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Empty: by the routing rules."),
    )
    priority = forms.IntegerField(
        label=gettext_lazy("Priority"),
        required=False,
        min_value=-(2**15),
        max_value=2**15 - 1,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text=gettext_lazy("Empty: the tenant's setting."),
    )
    tags = forms.CharField(
        label=gettext_lazy("Tags"),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Labels, comma-separated."),
    )
    fair_key = forms.CharField(
        label=gettext_lazy("Fair key"), required=False, max_length=100, widget=UnfoldAdminTextInputWidget()
    )
    max_retries = forms.IntegerField(
        label=gettext_lazy("Max retries"),
        required=False,
        min_value=0,
        max_value=2**15 - 1,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text=gettext_lazy("Empty: the kind's default."),
    )
    stale_advice = gettext_lazy(
        "The template was saved since you opened it: it is at version {version} now. Your input is kept below "
        "and is not saved yet. Save again to overwrite that version."
    )

    class Meta:
        model = JobTemplate
        fields = ("name", "description", "runners")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "kind" not in self.fields:
            return
        if not self.instance._state.adding:
            content = TEMPLATES.describe(self.instance)
            self.initial = {**self.initial, **content, "tags": ", ".join(content["tags"])}
        self._show_content()

    def _show_content(self) -> None:
        """Show the payload by the schema of its kind, and its parameters by rows."""
        fields: dict[str, Any] = self.fields
        kinds = [kind for kind in registry.kinds() if not registry.get(kind).is_internal]
        fields["kind"].choices = [("", "–"), *((kind, kind) for kind in kinds)]
        kind = self.data.get("kind") or self.initial.get("kind") or ""
        tenant = self.own_tenant or tenant_of(self.access, self.data.get("tenant", ""))
        fields["parameters"].offer()
        fields["payload"].use(kind, tenant=tenant, access=self.access)
        fields["payload"].widget.references = references_to(self._declared())
        for name in {"kind", "tenant"} & set(fields):
            draw_again_on_change(fields[name].widget)

    def _declared(self) -> dict[str, Any]:
        """Return the entered declarations of parameters, or else those in effect."""
        field: Any = self.fields["parameters"]
        entered = field.widget.value_from_datadict(self.data, {}, self.add_prefix("parameters"))
        declared = self.initial.get("parameters", {})
        with suppress(forms.ValidationError):
            declared = field.read(entered) if entered else declared
        # A form that is still being filled in shows no faults.
        field.widget.faults = {}
        return dict(declared)

    def clean_tags(self) -> list[str]:
        """Return the tags, each once."""
        return list(dict.fromkeys(filter(None, (tag.strip() for tag in self.cleaned_data["tags"].split(",")))))

    def content(self) -> TemplateContent:
        """Return the entered content."""
        given = self.cleaned_data
        return TemplateContent(
            kind=given["kind"],
            payload=given["payload"],
            parameters=given["parameters"],
            queue=given["queue"],
            priority=given["priority"],
            tags=given["tags"],
            fair_key=given["fair_key"],
            max_retries=given["max_retries"],
        )
