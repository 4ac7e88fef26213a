"""The form field of a payload: fields by the kind's schema, or raw JSON.

class RunForm(forms.Form):
    kind = forms.ChoiceField(...)
    payload = PayloadField()

    def __init__(self, *args, access, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["payload"].use(kind, tenant=tenant, access=access)
        follow_kind(self.fields["kind"].widget, "payload")
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.forms.utils import flatatt
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES, TEXTAREA_CLASSES

from scheduling.exceptions import KindUnknownError, PayloadInvalidError
from scheduling.jobs.artifacts import artifact_store
from scheduling.jobs.payload_form.shapes import Widget, shape_of, write_json
from scheduling.jobs.payload_form.values import (
    FILE,
    MISSING,
    Control,
    UnshowableError,
    defaults_of,
    read_inputs,
    write_inputs,
)
from scheduling.jobs.requests import check_payload
from scheduling.kit import registry
from scheduling.kit.base import TaskProcessor
from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.api.strict_json import parse_json
from tenants.exceptions import DomainError, JsonInvalidError
from tenants.models import Tenant, TenantSecret
from tenants.secrets.references import SecretReference

TEMPLATE = "scheduling/dashboards/parts/payload.html"
CLASSES = {"input": INPUT_CLASSES, "select": SELECT_CLASSES, "textarea": TEXTAREA_CLASSES}
FIELDS_MODE, JSON_MODE = "fields", "json"
MARKED = gettext_lazy("The payload has errors: correct what is marked.")


@dataclass(slots=True)
class Entered:
    """What was entered: the inputs of the fields by their names, or the JSON text."""

    mode: str
    text: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)


class PayloadWidget(forms.Widget):
    """Fields made from a kind's schema, and raw JSON as the other way to enter the payload."""

    use_fieldset = True

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.kind = ""
        self.processor: type[TaskProcessor] | None = None
        # The URL that draws the payload again, if it is not that of a kind.
        self.url = ""
        self.shape = shape_of({})
        self.tenant: Tenant | None = None
        self.access: Access | None = None
        # Faults by the position of the value, such as `$.texts[0]`.
        self.faults: dict[str, list[str]] = {}
        # The ids of uploaded files, by the names of their inputs.
        self.stored: dict[str, str] = {}

    @property
    def has_fields(self) -> bool:
        """Return whether the schema gives any fields; otherwise the payload is only entered as JSON."""
        return self.shape.widget is not Widget.JSON

    @property
    def needs_multipart_form(self) -> bool:  # type: ignore[override] # a property here
        """Return whether a file may be uploaded."""
        return self.shape.has_files

    def value_from_datadict(self, data: Mapping[str, Any], files: Mapping[str, Any], name: str) -> Any:
        """Return what was entered, None without any input."""
        mode, start = data.get(f"{name}-mode"), len(name)
        if mode == FIELDS_MODE and self.has_fields:
            own = (f"{name}/", f"{name}#")
            given = {key[start:]: data[key] for key in data if key.startswith(own) and not key.endswith(FILE)}
            uploads = {key[start:]: files[key] for key in files if key.startswith(own) and key.endswith(FILE)}
            left = {key: file for key, file in uploads.items() if key.removesuffix(FILE) not in self.stored}
            return Entered(FIELDS_MODE, inputs={**given, **left, **self.stored})
        return None if (text := data.get(name)) is None else Entered(JSON_MODE, text=str(text))

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Mapping[str, Any], name: str) -> bool:
        """Return whether the form was submitted without this field."""
        return self.value_from_datadict(data, files, name) is None

    def id_for_label(self, id_: str | None) -> str:
        """Return '': a label names the whole group."""
        return ""

    def entered(self, value: Any) -> Entered:
        """Return what the form shows for a value; a payload is shown as fields if these can hold it."""
        if isinstance(value, Entered):
            return value
        if value in (None, "", {}) and (value := defaults_of(self.shape)) is MISSING:
            return Entered(FIELDS_MODE) if self.has_fields else Entered(JSON_MODE, text="{}")
        if self.has_fields and isinstance(value, Mapping):
            with suppress(UnshowableError):
                return Entered(FIELDS_MODE, inputs=write_inputs(self.shape, value))
        return Entered(JSON_MODE, text=write_json(value, indent=2))

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """Return the HTML of the fields, or of the JSON text."""
        return self.draw(name, self.entered(value))

    def draw(self, name: str, entered: Entered, *, focus: str = "") -> SafeString:
        """Return the HTML of what was entered; the control named ``focus`` gets the focus."""
        known = {"kind": self.kind} | ({} if self.tenant is None else {"tenant": str(self.tenant.pk)})
        faults, context = dict(self.faults), {"name": name, "entered": entered, "widget": self}
        context |= {"classes": CLASSES, "url": self.url or parts_url(name, **known)}
        if entered.mode == FIELDS_MODE:
            context["root"] = root = read_inputs(self.shape, entered.inputs)
            context["secrets"] = self._secrets() if any(one.shape.takes_secrets for one in root.walk()) else ()
            files = self._newest_files()
            for control in root.walk():
                # A field that is still empty has no fault before the form was submitted.
                control.faults = faults.pop(control.json_path, [])
                control.has_focus = bool(focus) and control.name == focus
                control.attributes = _attributes_of(control, f"{name}{control.name}")
                control.choices = self.choices_of(control, files)
        context["faults"] = [f"{path}: {detail}" for path, details in faults.items() for detail in details]
        return render_to_string(TEMPLATE, context)

    def choices_of(self, control: Control, files: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return the values that a select offers, with their texts; for a file also the entered one."""
        if control.shape.widget is not Widget.FILE:
            return control.shape.choices
        own = {control.text: control.text} if control.text else {}
        return list({**own, **files}.items())

    def _secrets(self) -> list[str]:
        """Return a reference to each of the tenant's secrets that the caller may use."""
        if self.tenant is None or not self.may(Permission.SECRETS_USE):
            return []
        names = TenantSecret.objects.filter(tenant_id=self.tenant.pk).order_by("name").values_list("name", flat=True)
        return [str(SecretReference(name)) for name in names]

    def may_upload(self) -> bool:
        """Return whether the caller may store a file."""
        return artifact_store() is not None and self.tenant is not None and self.may(Permission.FILES_MANAGE)

    def may(self, permission: Permission) -> bool:
        """Return whether the caller has a permission."""
        return self.access is not None and self.access.may(permission)

    def _newest_files(self) -> dict[str, str]:
        store = artifact_store() if self.shape.has_files and self.may(Permission.FILES_VIEW) else None
        return dict(store.newest_files(self.tenant.pk)) if store and self.tenant else {}


def _attributes_of(control: Control, name: str) -> str:
    """Return the attributes of a control's input in HTML."""
    described = [f"id_{name}-help"] if control.shape.help else []
    described += [f"id_{name}-fault1"] if control.faults else []
    attributes = {
        "id": f"id_{name}",
        "name": name,
        "aria-required": "true" if control.shape.is_required else None,
        "aria-describedby": " ".join(described) or None,
        "aria-invalid": "true" if control.faults else None,
        "autofocus": control.has_focus,
    }
    return flatatt({key: value for key, value in attributes.items() if value is not None})


class PayloadField(forms.Field):
    """The payload of a job of one kind, which `use` names; the cleaned value is a valid payload.

    Without a kind, or of an unknown one, any JSON object is valid.
    """

    widget: Any = PayloadWidget

    def use(self, kind: str, *, tenant: Tenant | None, access: Access | None) -> None:
        """Set the kind, and the tenant whose files and secrets are offered to the caller."""
        self.widget.kind, self.widget.tenant, self.widget.access = kind, tenant, access
        with suppress(KindUnknownError):
            self.widget.processor = processor = registry.get(kind)
            self.widget.shape = shape_of(processor.payload_schema, processor.secret_fields)

    def use_schema(self, schema: Mapping[str, Any], *, url: str) -> None:
        """Set the schema of a value that is no payload of a kind; the view at ``url`` calls `redraw`."""
        self.widget.processor = None
        self.widget.shape, self.widget.url = shape_of({"type": "object", **schema}), url

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether the payload differs from the initial one."""
        try:
            return bool(self.read(data) != initial)
        except forms.ValidationError:
            return True

    def clean(self, value: Any) -> dict[str, Any]:
        """Return the payload; raise ValidationError, with each fault at its field, if it does not fit the kind.

        Files are stored once everything else is valid.
        """
        payload = self.read(value)
        self.check(payload)
        if isinstance(value, Entered) and any(key.endswith(FILE) for key in value.inputs):
            self._upload(value)
            payload = self.read(value)
        return payload

    def read(self, value: Any) -> dict[str, Any]:
        """Return the entered payload without checking it against the schema; raise ValidationError if that fails."""
        payload, self.widget.faults = value, {}
        if isinstance(value, Entered) and value.mode == JSON_MODE:
            payload = _parse(value.text)
        elif isinstance(value, Entered):
            root = read_inputs(self.widget.shape, value.inputs)
            self.widget.faults = {one.json_path: one.faults for one in root.walk() if one.faults}
            if self.widget.faults:
                raise forms.ValidationError(MARKED)
            payload = root.value
        if payload is None and self.required:
            raise forms.ValidationError(self.error_messages["required"], code="required")
        if not isinstance(payload, dict | None):
            raise forms.ValidationError(_("It must be a JSON object."))
        return payload or {}

    def check(self, payload: dict[str, Any]) -> None:
        """Raise ValidationError for a payload that the kind refuses; each fault has its position and a sentence."""
        try:
            if self.widget.processor is not None:
                check_payload(payload, self.widget.processor)
        except PayloadInvalidError as refusal:
            for fault in refusal.errors:
                self.widget.faults.setdefault(fault["field"], []).append(fault["detail"])
            raise forms.ValidationError(MARKED if refusal.errors else refusal.detail) from refusal
        except DomainError as refusal:
            raise forms.ValidationError(refusal.detail) from refusal

    def _upload(self, entered: Entered) -> None:
        """Store the files, and put their ids into the inputs."""
        for key in [key for key in entered.inputs if key.endswith(FILE)]:
            store, tenant = artifact_store(), self.widget.tenant
            if store is None or tenant is None or not self.widget.may_upload():
                raise forms.ValidationError(_("You may not upload files here. Choose a stored one."))
            try:
                file_id = store.store_file(tenant, entered.inputs.pop(key))
            except DomainError as refusal:
                raise forms.ValidationError(refusal.detail) from refusal
            entered.inputs[key.removesuffix(FILE)] = file_id
            self.widget.stored = {**self.widget.stored, key.removesuffix(FILE): file_id}


def _parse(text: str) -> Any:
    """Return the value of a JSON text, None for a blank one; raise ValidationError for any other text."""
    try:
        return parse_json(text.encode("utf-8", "replace")) if text.strip() else None
    except JsonInvalidError as refusal:
        raise forms.ValidationError(refusal.detail) from refusal


def parts_url(name: str, **given: str) -> str:
    """Return the URL that draws the payload again: with another row, as JSON or as fields, or for another kind."""
    return f"{reverse('admin:scheduling_job_payload')}?{urlencode({'name': name, **given})}"


def follow_kind(widget: forms.Widget, name: str, *, kind: str = "kind", url: str = "") -> None:
    """Make a select draw the payload again at each change: that of the kind, or of the tenant.

    ``name`` is the name of the payload's field, and ``kind`` that of the kind's. The tenant's field is named `tenant`.
    ``url`` is that of a view which calls `redraw`, if another one draws the payload.
    """
    widget.attrs |= {
        "hx-post": url or parts_url(name, kind_field=kind),
        "hx-trigger": "change",
        "hx-target": f"#id_{name}",
        "hx-swap": "outerHTML",
        # The response to a former choice must not replace the target of the next one's.
        "hx-sync": "closest form:queue last",
    }
