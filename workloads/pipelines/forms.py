"""Form of a pipeline. Its definition is edited as JSON; each fault is shown with its position."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from tenants.console.json_fields import IndentedJSONField
from tenants.context import tenant_context
from tenants.models import Tenant
from workloads.pipelines.exceptions import PipelineDefinitionError
from workloads.pipelines.models import Pipeline, PipelineVersion
from workloads.pipelines.node_types import chain
from workloads.pipelines.service import check_definition

EXAMPLE = chain(
    datasource={"sources": [{"type": "text", "name": "hello.md", "text": "# Hello\n\nA text to begin with."}]},
    clean={"remove_urls": False},
    split={"mode": "markdown", "chunk_size": 200, "chunk_overlap": 20},
    load={"dataset": "the name of a dataset"},
)


class PipelineForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form of a pipeline, with the definition of its latest version."""

    own_tenant: ClassVar[Tenant | None] = None

    definition = IndentedJSONField(
        label=gettext_lazy("Definition"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 24, "spellcheck": "false", "class": "font-mono"}),
        help_text=gettext_lazy(
            "A graph of nodes: datasource → extract → clean → split → embed → load, and others between them. A changed "
            "definition is saved as the next version."
        ),
    )
    note = forms.CharField(
        label=gettext_lazy("Note"),
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("The changes of the new version; shown with it."),
    )

    class Meta:
        model = Pipeline
        fields = ("name", "description")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "definition" in self.fields:
            self.fields["definition"].initial = self._latest() or EXAMPLE

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        tenant = self.own_tenant or values.get("tenant")
        if tenant is None or "definition" not in values:
            return values
        try:
            with tenant_context(tenant):
                check_definition(tenant, values["definition"])
        except PipelineDefinitionError as refusal:
            for fault in refusal.errors:
                self.add_error("definition", f"{fault['pointer']}: {fault['detail']}")
        return values

    def _latest(self) -> Any:
        if self.instance._state.adding:
            return None
        versions = PipelineVersion.objects.filter(pipeline=self.instance, number=self.instance.latest_number)
        return versions.values_list("definition", flat=True).first()
