"""Form fields for JSON, which follow the same rules as the API's JSON parser."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext

from tenants.api.strict_json import parse_json
from tenants.exceptions import JsonInvalidError


class StrictJSONField(forms.JSONField):
    """JSON form field that refuses what the API does: deep nesting, large numbers, NUL, surrogates, duplicate keys."""

    def to_python(self, value: Any) -> Any:
        """Return the parsed value; raise `ValidationError` for invalid JSON."""
        if self.disabled or value in self.empty_values or not isinstance(value, str):
            return super().to_python(value)
        try:
            return parse_json(_encode(value))
        except JsonInvalidError as refusal:
            raise ValidationError(refusal.detail, code="invalid") from refusal

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Return the value that the form shows again after an invalid submission."""
        if self.disabled or not isinstance(data, str):
            return super().bound_data(data, initial)
        try:
            return parse_json(_encode(data))
        except JsonInvalidError:
            return InvalidJSONInput(data)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether the value differs from the initial one."""
        try:
            return super().has_changed(initial, self.to_python(data))
        except ValidationError:
            return True


class JSONObjectField(StrictJSONField):
    """Strict JSON form field for an object, which may be empty."""

    empty_values = (None, "")

    def prepare_value(self, value: Any) -> Any:
        """Return the JSON text that the form shows, empty without an object."""
        return "" if value is None else super().prepare_value(value)

    def clean(self, value: Any) -> Any:
        """Return the object, or None if there is none; raise `ValidationError` for another value."""
        cleaned = super().clean(value)
        if cleaned is not None and not isinstance(cleaned, dict):
            raise ValidationError(gettext("It must be a JSON object."))
        return cleaned


class IndentedJSONField(StrictJSONField):
    """Strict JSON form field that shows the value indented, with letters unescaped."""

    def prepare_value(self, value: Any) -> Any:
        """Return the indented JSON text that the form shows."""
        return value if isinstance(value, InvalidJSONInput) else json.dumps(value, indent=2, ensure_ascii=False)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")
