"""Form fields of a template's content: a payload with references to parameters, and the declarations of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.urls import reverse
from django.utils.translation import gettext as _

from scheduling.jobs.job_templates.parameters import is_reference
from scheduling.jobs.payload_form.fields import PayloadField, PayloadWidget, follow_kind
from scheduling.jobs.payload_form.shapes import Widget, shape_of
from scheduling.jobs.payload_form.values import Control
from tenants.access.caller import Access
from tenants.models import Tenant

TYPES = ("string", "integer", "number", "boolean", "array", "object")
FORMATS = ("date", "date-time", "email", "uri", "uuid")


class TemplatePayloadWidget(PayloadWidget):
    """Fields of a kind's payload, in each of which a reference to a parameter may stand for the value."""

    # References to the declared parameters, which selects offer.
    references: tuple[str, ...] = ()

    def choices_of(self, control: Control, files: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return the values that a select offers, and the references."""
        choices = super().choices_of(control, files)
        if control.shape.widget not in (Widget.CHOICE, Widget.FILE):
            return choices
        own = [control.text] if control.shape.refers(control.text) else []
        return [*choices, *((text, text) for text in sorted({*self.references, *own} - dict(choices).keys()))]


class TemplatePayloadField(PayloadField):
    """The payload of a template; the service checks it together with the parameters."""

    widget: Any = TemplatePayloadWidget

    def use(self, kind: str, *, tenant: Tenant | None, access: Access | None) -> None:
        """Set the kind, and the tenant whose files and secrets are offered to the caller."""
        super().use(kind, tenant=tenant, access=access)
        self.widget.url = content_url("payload")
        if (processor := self.widget.processor) is not None:
            self.widget.shape = shape_of(processor.payload_schema, processor.secret_fields, is_reference=is_reference)

    def check(self, payload: dict[str, Any]) -> None:
        """Accept any payload."""


class DeclarationsField(PayloadField):
    """The declarations of a template's parameters, a JSON Schema; the service checks it."""

    def offer(self) -> None:
        """Make the widget show a row for each parameter."""
        self.use_schema({"properties": {"properties": _declarations()}}, url=content_url("parameters"))


def content_url(name: str) -> str:
    """Return the URL that draws a field of the template's form again."""
    return f"{reverse('admin:scheduling_jobtemplate_content')}?{urlencode({'name': name})}"


def draw_again_on_change(widget: Any) -> None:
    """Make a select draw the payload again at each change: that of the kind, or of the tenant."""
    inner: forms.Widget = getattr(widget, "widget", widget)
    follow_kind(inner, "payload", url=content_url("payload"))


def _declarations() -> dict[str, Any]:
    text = {"type": "string", "maxLength": 200}
    parts = {
        "type": {"enum": list(TYPES), "title": _("Type")},
        "title": {**text, "title": _("Title")},
        "description": {**text, "title": _("Description")},
        "default": {"title": _("Default"), "description": _('A text in quotes, such as "today".')},
        "enum": {"type": "array", "items": {}, "title": _("Allowed values")},
        "minimum": {"type": "number", "title": _("Minimum")},
        "maximum": {"type": "number", "title": _("Maximum")},
        "format": {"enum": list(FORMATS), "title": _("Format")},
    }
    rule = {"type": "object", "properties": parts}
    return {"type": "object", "additionalProperties": rule, "title": _("Parameters")}
