"""Serializer fields that take a value as it is written, or refuse it; nothing is guessed.

DRF's own fields turn 7 into "7", "٣" into 3 and a naive time into one of the server's zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext, gettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.names import find_invisible_character

# RFC 3339: a date, a time with seconds, and an offset. ASCII digits only.
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class TextField(serializers.CharField):
    """A JSON string; numbers are not made into one."""

    default_error_messages = {"not_text": gettext_lazy("Not a text.")}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("not_text")
        return str(super().to_internal_value(data))


class NameField(TextField):
    """A short text that people compare by eye: no control, bidi or zero-width characters."""

    default_error_messages = {
        "invisible": gettext_lazy("Control, bidirectional and zero-width characters are not allowed.")
    }

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if find_invisible_character(name) is not None:
            self.fail("invisible")
        return name


class WholeNumberField(serializers.IntegerField):
    """A JSON integer; texts, fractions and booleans are refused."""

    default_error_messages = {"not_whole": gettext_lazy("Not an integer.")}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("not_whole")
        return int(super().to_internal_value(data))


class NumberField(serializers.FloatField):
    """A JSON number; texts and booleans are refused."""

    default_error_messages = {"not_number": gettext_lazy("Not a number.")}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("not_number")
        return float(super().to_internal_value(data))


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentField(serializers.Field[datetime, str, str | None, Any]):
    """An RFC 3339 time with its offset, answered in UTC."""

    default_error_messages = {
        "format": gettext_lazy("Not an RFC 3339 time with an offset, such as 2026-01-31T09:30:00Z."),
        "range": gettext_lazy("The time must lie between the years 1970 and 9998."),
    }

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or not _RFC_3339.fullmatch(data):
            self.fail("format")
        try:
            # A leap second's 60 is not a time that Python knows; it is refused like 61.
            moment = datetime.fromisoformat(data.upper())
        except ValueError:
            self.fail("format")
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            self.fail("range")
        if not EARLIEST <= moment < LATEST:
            self.fail("range")
        return moment

    def to_representation(self, value: datetime | None) -> str | None:
        return format_moment(value)


def format_moment(value: datetime | None) -> str | None:
    """RFC 3339 in UTC with a Z."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know, so that a typo is an error and not a default."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = sorted(str(key) for key in data if key not in self.fields)
            if unknown:
                raise serializers.ValidationError(_refuse_each(unknown))
        return super().to_internal_value(data)


def _refuse_each(names: Iterable[str]) -> dict[str, list[serializers.ErrorDetail]]:
    refused = serializers.ErrorDetail(gettext("There is no such field."), code="unknown_field")
    return {name[:100]: [refused] for name in names}
