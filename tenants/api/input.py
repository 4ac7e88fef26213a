"""Strict input of the API: each value is either taken exactly as written or refused, never guessed or converted.

Values that PostgreSQL cannot store, or that two parsers could read differently, are refused. (DRF's own fields would
turn 7 into "7", "٣" into 3, and a time without an offset into one of the server's zone.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import IO, Any, Self

from django.conf import settings
from django.utils.http import parse_header_parameters
from django.utils.translation import gettext, gettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

from tenants.api.strict_json import parse_json
from tenants.exceptions import BodyTooLargeError, JsonInvalidError
from tenants.tenancy.bases import find_invisible_character

# RFC 3339: a date, a time with seconds, and an offset. ASCII digits only.
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class StrictJSONParser(BaseParser):
    """Parser of `application/json` bodies in UTF-8, nested at most MAX_DEPTH levels deep.

    A body may have as many bytes as the view's `max_body_bytes`, or the setting DATA_UPLOAD_MAX_MEMORY_SIZE.
    """

    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the parsed body; raise `JsonInvalidError` if it is invalid, `BodyTooLargeError` if it is too long."""
        _require_utf8(media_type or self.media_type)
        return parse_json(_read(stream, parser_context or {}))


def _read(stream: IO[bytes], context: Mapping[str, Any]) -> bytes:
    limit = getattr(context.get("view"), "max_body_bytes", None) or settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = stream.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLargeError("The body is larger than %(limit)s bytes.", {"limit": limit})
    return body


def _require_utf8(media_type: str) -> None:
    charset = parse_header_parameters(media_type)[1].get("charset", "utf-8")
    if charset.lower() not in ("utf-8", "utf8"):
        raise JsonInvalidError("JSON must be UTF-8, not %(charset)r.", {"charset": charset[:40]})


class TextField(serializers.CharField):
    """Serializer field of a JSON string. Numbers are refused, not converted."""

    default_error_messages = {"not_text": gettext_lazy("Not a text.")}

    def to_internal_value(self, data: Any) -> str:
        """Return the string; fail with a validation error for any other type."""
        if not isinstance(data, str):
            self.fail("not_text")
        return str(super().to_internal_value(data))


class NameField(TextField):
    """Serializer field of a short text that people compare by eye: invisible characters are refused.

    Those are control, bidirectional and zero-width characters.
    """

    default_error_messages = {
        "invisible": gettext_lazy("Control, bidirectional and zero-width characters are not allowed.")
    }

    def to_internal_value(self, data: Any) -> str:
        """Return the text; fail with a validation error if it contains an invisible character."""
        name = super().to_internal_value(data)
        # Printable ASCII, the usual case, has none.
        if not (name.isascii() and name.isprintable()) and find_invisible_character(name) is not None:
            self.fail("invisible")
        return name


class WholeNumberField(serializers.IntegerField):
    """Serializer field of a JSON integer. Strings, fractions and booleans are refused."""

    default_error_messages = {"not_whole": gettext_lazy("Not an integer.")}

    def to_internal_value(self, data: Any) -> int:
        """Return the integer; fail with a validation error for any other type."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("not_whole")
        return int(super().to_internal_value(data))


class NumberField(serializers.FloatField):
    """Serializer field of a JSON number. Strings and booleans are refused."""

    default_error_messages = {"not_number": gettext_lazy("Not a number.")}

    def to_internal_value(self, data: Any) -> float:
        """Return the number as a float; fail with a validation error for any other type."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("not_number")
        return float(super().to_internal_value(data))


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentField(serializers.Field[datetime, str, str | None, Any]):
    """Serializer field of an RFC 3339 time with an offset, converted to UTC."""

    default_error_messages = {
        "format": gettext_lazy("Not an RFC 3339 time with an offset, such as 2026-01-31T09:30:00Z."),
        "range": gettext_lazy("The time must be between the years 1970 and 9998."),
    }

    def to_internal_value(self, data: Any) -> datetime:
        """Return the time in UTC; fail with a validation error for any other form."""
        if not isinstance(data, str) or not _RFC_3339.fullmatch(data):
            self.fail("format")
        try:
            # Python has no leap second 60; it is refused like 61.
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
        """Return the time as an RFC 3339 string in UTC, or None."""
        return format_moment(value)


def format_moment(value: datetime | None) -> str | None:
    """Return the time as an RFC 3339 string in UTC that ends in Z, or None for None."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that refuses unknown fields, so that a typo is an error and not a default."""

    @classmethod
    def of(cls, data: Any, *, partial: bool = False) -> Self:
        """Return the serializer of valid data; raise a validation error otherwise."""
        serializer = cls(data=data, partial=partial)
        serializer.is_valid(raise_exception=True)
        return serializer

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated fields; raise a validation error if the data has unknown fields."""
        if isinstance(data, Mapping):
            unknown = sorted(str(key) for key in data if key not in self.fields)
            if unknown:
                raise serializers.ValidationError(_refuse_each(unknown))
        return super().to_internal_value(data)


def _refuse_each(names: Iterable[str]) -> dict[str, list[serializers.ErrorDetail]]:
    refused = serializers.ErrorDetail(gettext("There is no such field."), code="unknown_field")
    return {name[:100]: [refused] for name in names}
