"""Metadata of documents: the fields that a dataset declares, and the values that its documents have.

A value is stored as given in its document, and once more as a sortable key in the index of values (`DocumentValue`).
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from enum import StrEnum
from typing import Any, Final, Never

from tenants.exceptions import FieldInvalidError
from tenants.tenancy.bases import clean_name, find_invisible_character
from tenants.translation import translate

MAX_FIELDS = 20
MAX_FIELD_NAME_LENGTH = 50
MAX_VALUE_LENGTH = 200
MAX_LIST_LENGTH = 50
# Beyond it a float is no exact integer.
_MAX_NUMBER = 10**15
_SIGN = 1 << 63


class FieldType(StrEnum):
    """The type of a field's values."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    BOOLEAN = "boolean"
    TEXTS = "texts"


ORDERED_TYPES: Final = (FieldType.NUMBER, FieldType.DATE)
type Fields = Mapping[str, FieldType]


def check_fields(declared: object) -> list[dict[str, str]]:
    """Return a declaration of fields with clean names; raise `FieldInvalidError` for any other value."""
    if not isinstance(declared, list) or len(declared) > MAX_FIELDS:
        _refuse_fields(translate("It must be a list of at most %(most)s fields.", {"most": MAX_FIELDS}))
    fields: dict[str, str] = {}
    for field in declared:
        if not isinstance(field, dict) or field.keys() != {"name", "type"} or not isinstance(field["name"], str):
            _refuse_fields(translate("Each field must be an object with a name and a type."))
        if field["type"] not in list(FieldType):
            _refuse_fields(translate("A type must be one of %(types)s.", {"types": ", ".join(FieldType)}))
        name = clean_name(field["name"], field="metadata_fields", max_length=MAX_FIELD_NAME_LENGTH)
        if name in fields:
            _refuse_fields(translate("The field %(name)s occurs twice.", {"name": name}))
        fields[name] = field["type"]
    return [{"name": name, "type": kind} for name, kind in fields.items()]


def fields_of(declared: list[dict[str, str]]) -> dict[str, FieldType]:
    """Return the types of a stored declaration by name."""
    return {field["name"]: FieldType(field["type"]) for field in declared}


def check_metadata(fields: Fields, given: object) -> dict[str, Any]:
    """Return the values by field, None for those to remove; raise `FieldInvalidError` unless they fit the fields."""
    if not isinstance(given, dict):
        raise FieldInvalidError.at("metadata", translate("It must be an object with the values by field."))
    values: dict[str, Any] = {}
    for name, value in given.items():
        one = value if value is None and name in fields else check_value(fields, name, value, field="metadata")
        values[name] = [one] if isinstance(one, str) and fields[name] is FieldType.TEXTS else one
    return values


def check_value(fields: Fields, name: str, value: object, *, field: str) -> Any:
    """Return the value of a field in normal form; raise `FieldInvalidError` at ``field`` if it does not fit.

    The value of a list of texts may be one of them.
    """
    kind = fields.get(name)
    if kind is None:
        raise FieldInvalidError.at(
            field, translate("The dataset has no field %(name)s.", {"name": name[:MAX_FIELD_NAME_LENGTH]})
        )
    if kind is FieldType.TEXTS and isinstance(value, list) and len(value) <= MAX_LIST_LENGTH:
        texts = [_normalise(FieldType.TEXT, one) for one in value]
        normal = None if None in texts else list(dict.fromkeys(texts))
    else:
        normal = _normalise(kind, value)
    if normal is None:
        values = {"name": name, "type": kind.value, "length": MAX_VALUE_LENGTH, "most": MAX_LIST_LENGTH}
        detail = translate(
            "%(name)s must be of the type %(type)s. A text has 1 to %(length)s visible characters, a list at most "
            "%(most)s texts, a date the form 2026-01-31, a number at most 15 digits before the point.",
            values,
        )
        raise FieldInvalidError.at(field, detail)
    return normal


def keys_of(value: Any) -> Iterator[str]:
    """Yield the keys of a stored value. Keys of one field have the order of the values."""
    yield from dict.fromkeys(map(key_of, value)) if isinstance(value, list) else [key_of(value)]


def key_of(value: Any) -> str:
    """Return the key of one value: a text or a date is its own, a number has the bits of its float in order."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))
        return f"{bits ^ (2 * _SIGN - 1) if bits & _SIGN else bits | _SIGN:016x}"
    return str(value)


def _normalise(kind: FieldType, value: object) -> Any:
    """Return one value in normal form, or None if it is not of this type."""
    if kind is FieldType.BOOLEAN:
        return value if isinstance(value, bool) else None
    if kind is FieldType.NUMBER:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER
        return value if is_number else None
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_VALUE_LENGTH or find_invisible_character(value):
        return None
    if kind is FieldType.DATE:
        return value if _is_date(value) else None
    text = unicodedata.normalize("NFC", value)
    return text if len(text) <= MAX_VALUE_LENGTH else None


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _refuse_fields(detail: str) -> Never:
    raise FieldInvalidError.at("metadata_fields", detail)
