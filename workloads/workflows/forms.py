"""Forms of workflows. The faults of a definition are shown at its field, each with its position."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from tenants.console.json_fields import IndentedJSONField, JSONObjectField, StrictJSONField
from tenants.models import Tenant
from tenants.versions.admin import VersionForm
from workloads.workflows.exceptions import WorkflowDefinitionError
from workloads.workflows.models import Workflow
from workloads.workflows.queries import get_version
from workloads.workflows.service import check_definition

ROWS = 28
EMPTY = {
    "nodes": [{"id": "start", "type": "start"}, {"id": "end", "type": "end"}],
    "edges": [{"from": "start", "to": "end"}],
}


class WorkflowForm(VersionForm):
    """Form of a workflow, with the definition of the version in effect."""

    own_tenant: ClassVar[Tenant | None] = None

    definition = IndentedJSONField(
        label=gettext_lazy("Definition"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": ROWS, "spellcheck": "false", "class": "font-mono"}),
        help_text=gettext_lazy(
            "Nodes and edges as JSON, described in docs/how-to/workflows.md. A change becomes the next version."
        ),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("A note on the changes, stored with the version."),
    )
    effective_from = forms.DateTimeField(
        label=gettext_lazy("Effective from"),
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        help_text=gettext_lazy("UTC. New runs use this definition from this time on; empty: at once."),
    )
    stale_advice = gettext_lazy(
        "The workflow was saved since you opened it: it is at version {version} now. Your input is kept below "
        "and is not saved yet. Save again to overwrite that version."
    )

    class Meta:
        model = Workflow
        fields = ("name", "description")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "definition" not in self.fields:
            return
        is_new = self.instance._state.adding
        current = None if is_new else get_version(self.instance.pk, self.instance.version)
        self.fields["definition"].initial = EMPTY if current is None else current.content

    def clean_definition(self) -> Any:
        """Return the definition; raise ValidationError with all faults, each with its position as a JSON pointer."""
        definition = self.cleaned_data["definition"]
        tenant = self.own_tenant or self.cleaned_data.get("tenant")
        if tenant is None:
            return definition
        try:
            check_definition(tenant, definition, own_names=[str(self.instance.pk), self.cleaned_data.get("name", "")])
        except WorkflowDefinitionError as refusal:
            faults = [f"{fault['pointer'] or '/'}: {fault['detail']} ({fault['code']})" for fault in refusal.errors]
            raise forms.ValidationError(faults or [refusal.detail]) from refusal
        return definition


class RunForm(forms.Form):
    """Form for the inputs of a run."""

    inputs = StrictJSONField(
        label=gettext_lazy("Inputs"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false"}),
        help_text=gettext_lazy('The inputs that the start node declares, as JSON: {"question": "…"}. Empty: none.'),
    )

    def clean_inputs(self) -> Any:
        """Return the inputs, an object or None; raise ValidationError for other JSON."""
        inputs = self.cleaned_data["inputs"]
        if inputs is not None and not isinstance(inputs, dict):
            raise forms.ValidationError(gettext("The inputs must be a JSON object."))
        return inputs


class ReplayForm(forms.Form):
    """Form for a replay of a run: the node from which it is run again, and edited values."""

    node = forms.ChoiceField(
        label=gettext_lazy("Run again from"),
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("This node and those after it are run again; the others keep their outputs."),
    )
    inputs = JSONObjectField(
        label=gettext_lazy("Edited inputs"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 6, "spellcheck": "false"}),
        help_text=gettext_lazy('Inputs that replace those of the run, as JSON: {"question": "…"}. The others stay.'),
    )
    outputs = JSONObjectField(
        label=gettext_lazy("Edited outputs"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 6, "spellcheck": "false"}),
        help_text=gettext_lazy(
            'Outputs that replace those of kept nodes, by node, as JSON: {"ask": {"text": "…"}}. The others stay.'
        ),
    )

    def __init__(self, nodes: Iterable[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        node: Any = self.fields["node"]
        node.choices = list(nodes)

    def clean_outputs(self) -> Any:
        """Return the outputs by node, or None; raise ValidationError if those of a node are not an object."""
        outputs = self.cleaned_data["outputs"]
        if outputs is not None and not all(isinstance(one, dict) for one in outputs.values()):
            raise forms.ValidationError(gettext("The outputs of each node must be a JSON object."))
        return outputs
