"""Serializers that take a value as it is written, or refuse it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class TextField(serializers.CharField):
    """A JSON string; numbers are not made into one."""

    default_error_messages = {"not_text": "Not a text."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("not_text")
        return str(super().to_internal_value(data))


class NameField(TextField):
    """A short text that people compare by eye: no control, bidirectional or zero-width characters."""

    default_error_messages = {"invisible": "Control, bidirectional and zero-width characters are not allowed."}

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if any(unicodedata.category(character) in _INVISIBLE_CATEGORIES for character in name):
            self.fail("invisible")
        return unicodedata.normalize("NFC", name)


class WholeNumberField(serializers.IntegerField):
    """A JSON integer; texts, fractions and booleans are refused."""

    default_error_messages = {"not_whole": "Not an integer."}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("not_whole")
        return int(super().to_internal_value(data))


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know, so that a typo is an error and not a default."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = [str(key)[:100] for key in data if key not in self.fields] if isinstance(data, Mapping) else []
        if unknown:
            refused = serializers.ErrorDetail("There is no such field.", code="unknown_field")
            raise serializers.ValidationError({name: [refused] for name in unknown})
        return super().to_internal_value(data)
