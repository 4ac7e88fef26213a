"""Names that people give: what may stand in them, so that what is read is what is there."""

from __future__ import annotations

import re
import unicodedata

from tenants.exceptions import FieldInvalidError

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?", re.ASCII)
# Control, format (bidi overrides, zero-width characters), surrogates, line and paragraph separators.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def clean_name(value: str, *, field: str = "name", max_length: int = 200) -> str:
    """`value` without outer blanks, in NFC; `FieldInvalidError` if empty, too long or with invisible characters."""
    name = unicodedata.normalize("NFC", value.strip())
    if not name:
        raise _invalid(field, "It must not be empty.")
    if len(name) > max_length:
        raise _invalid(field, f"It must not be longer than {max_length} characters.")
    for character in name:
        if unicodedata.category(character) in _INVISIBLE_CATEGORIES:
            raise _invalid(field, f"It must not contain the invisible character U+{ord(character):04X}.")
    return name


def clean_slug(value: str, *, field: str = "slug") -> str:
    """`value` if it is 1 to 50 lower-case ASCII letters, digits and inner hyphens, else `FieldInvalidError`."""
    if not _SLUG.fullmatch(value):
        raise _invalid(field, "Use 1 to 50 lower-case letters, digits and hyphens, no hyphen at either end.")
    return value


def _invalid(field: str, detail: str) -> FieldInvalidError:
    return FieldInvalidError(f"{field}: {detail}", errors=[{"field": field, "code": "field_invalid", "detail": detail}])
