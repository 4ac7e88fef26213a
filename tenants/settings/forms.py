"""The form of a tenant's settings, built from the declarations of the settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.console.edit_conflicts import (
    FormMarksField,
    changed_since,
    conflict_message,
    current_value_text,
    marks_of,
    with_current_marks,
)
from tenants.console.json_fields import StrictJSONField
from tenants.settings.schema import Setting, SettingGroup, setting_groups


class SettingsForm(forms.Form):
    """Form with a field for each setting and a checkbox that resets the setting to its default.

    `changes` and `resets` return the arguments of the service; settings that were not edited are left out.
    """

    version = forms.IntegerField(widget=forms.HiddenInput)
    seen = FormMarksField()
    reason = forms.CharField(max_length=500, required=False, label=_("Reason, for the audit log"))

    def __init__(
        self, *args: Any, values: Mapping[str, Any], may_edit_all: bool, is_frozen: bool, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._values = values
        self.fields["seen"].initial = marks_of(self._marked())
        for group in setting_groups():
            for setting in group.settings:
                field = field_of(setting)
                field.disabled = is_frozen or (setting.editor == "platform" and not may_edit_all)
                field.initial = None if setting.is_secret else values[setting.key]
                self.fields[setting.key] = field
                self.fields[reset_name(setting)] = forms.BooleanField(
                    required=False, disabled=field.disabled, label=_("Reset to the default")
                )

    def tell_stale(self, version: int) -> None:
        """Report, as a form error, which settings have changed since the form was rendered.

        The submitted values stay in the form; saving again overwrites those changes.
        """
        try:
            names = changed_since(self.data.get("seen", ""), self._marked())
        except ValueError:
            names = []
        titles = {setting.key: setting.title for setting in _settings()}
        what = [current_value_text(titles[name], self._values[name]) for name in names]
        self.add_error(
            None, conflict_message(what or [gettext("a secret, or a value that was changed and changed back")])
        )
        self.data = with_current_marks(self.data, {"version": str(version), "seen": marks_of(self._marked())})

    def _marked(self) -> dict[str, Any]:
        """Return the values that are compared; secrets are never shown, so they are excluded."""
        return {setting.key: self._values[setting.key] for setting in _settings() if not setting.is_secret}

    def changes(self) -> dict[str, Any]:
        """Return the submitted values that differ from the shown ones, by key, except those of settings to be reset."""
        return {
            setting.key: self.cleaned_data[setting.key]
            for setting in _settings()
            if not self.fields[setting.key].disabled
            and not self.cleaned_data[reset_name(setting)]
            and self._is_changed(setting)
        }

    def resets(self) -> list[str]:
        """Return the keys of the settings to reset to their defaults."""
        return [setting.key for setting in _settings() if self.cleaned_data[reset_name(setting)]]

    def _is_changed(self, setting: Setting) -> bool:
        value = self.cleaned_data[setting.key]
        if setting.is_secret:
            return value not in (None, "")
        return bool(value != self._values[setting.key])


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting in the form in which the page's template renders it."""

    setting: Setting
    field: forms.BoundField
    reset: forms.BoundField
    is_changed: bool
    default: str


def setting_rows(group: SettingGroup, form: SettingsForm, stored: Mapping[str, Any]) -> list[SettingRow]:
    """Return the settings of a group, with their form fields, for the page's template."""
    return [
        SettingRow(
            setting=setting,
            field=form[setting.key],
            reset=form[reset_name(setting)],
            is_changed=setting.key in stored,
            default=_words(setting.default),
        )
        for setting in group.settings
    ]


def reset_name(setting: Setting) -> str:
    """Return the name of the checkbox that resets the setting."""
    return f"reset:{setting.key}"


def field_of(setting: Setting) -> forms.Field:
    """Return the form field that fits the setting's schema; a field of JSON text if no other fits."""
    schema = setting.schema
    options: dict[str, Any] = {"label": gettext(setting.title), "required": False}
    types = schema.get("type")
    if setting.is_secret:
        return forms.CharField(widget=forms.PasswordInput(render_value=False), strip=False, **options)
    if "enum" in schema and all(isinstance(value, str) for value in schema["enum"]):
        return forms.ChoiceField(choices=[(value, value) for value in schema["enum"]], **options)
    if types == "boolean":
        return forms.BooleanField(**options)
    if types in ("integer", ["integer", "null"]):
        options["required"] = types == "integer"
        return forms.IntegerField(min_value=schema.get("minimum"), max_value=schema.get("maximum"), **options)
    if types == "string":
        return forms.CharField(max_length=schema.get("maxLength", 1000), **options)
    return StrictJSONField(widget=forms.Textarea(attrs={"rows": 3}), **options)


def _settings() -> list[Setting]:
    return [setting for group in setting_groups() for setting in group.settings]


def _words(value: Any) -> str:
    if value is None:
        return gettext("empty")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
