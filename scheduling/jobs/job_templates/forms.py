"""Forms of job templates."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from scheduling.jobs.job_templates.models import JobTemplate
from scheduling.jobs.job_templates.service import TEMPLATES, TemplateContent
from scheduling.kit import registry
from tenants.console.json_fields import IndentedJSONField
from tenants.models import Role
from tenants.versions.admin import VersionForm


def _json_area(rows: int) -> UnfoldAdminTextareaWidget:
    return UnfoldAdminTextareaWidget(attrs={"rows": rows, "spellcheck": "false", "class": "font-mono"})


class JobTemplateForm(VersionForm):
    """Form of a template, with the content in effect. A changed content is saved as the next version."""

    runners = forms.MultipleChoiceField(
        label=gettext_lazy("Who may run it"),
        required=False,
        choices=Role.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Roles that may run it although they may not submit other jobs."),
    )
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), widget=UnfoldAdminSelectWidget)
    payload = IndentedJSONField(
        label=gettext_lazy("Payload"),
        required=False,
        initial=dict,
        widget=_json_area(12),
        help_text=gettext_lazy("A JSON object; {{ parameters.name }} stands for a parameter."),
    )
    parameters = IndentedJSONField(
        label=gettext_lazy("Parameters"),
        required=False,
        initial=dict,
        widget=_json_area(8),
        help_text=gettext_lazy('A JSON Schema: {"properties": {"date": {"type": "string", "default": "today"}}}.'),
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
        kinds = [kind for kind in registry.kinds() if not registry.get(kind).is_internal]
        self.fields["kind"].choices = [(kind, kind) for kind in kinds]  # type: ignore[attr-defined]
        if not self.instance._state.adding:
            content = TEMPLATES.describe(self.instance)
            self.initial = {**self.initial, **content, "tags": ", ".join(content["tags"])}

    def clean_tags(self) -> list[str]:
        """Return the tags, each once."""
        return list(dict.fromkeys(filter(None, (tag.strip() for tag in self.cleaned_data["tags"].split(",")))))

    def clean(self) -> dict[str, Any] | None:
        """Validate the form; payload and parameters must be JSON objects."""
        cleaned = super().clean()
        for name in ("payload", "parameters"):
            value = self.cleaned_data.get(name)
            if value is not None and not isinstance(value, dict):
                self.add_error(name, gettext("It must be a JSON object."))
        return cleaned

    def content(self) -> TemplateContent:
        """Return the entered content."""
        given = self.cleaned_data
        return TemplateContent(
            kind=given["kind"],
            payload=given["payload"] or {},
            parameters=given["parameters"] or {},
            queue=given["queue"],
            priority=given["priority"],
            tags=given["tags"],
            fair_key=given["fair_key"],
            max_retries=given["max_retries"],
        )
