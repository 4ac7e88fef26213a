"""Names that people give: what may stand in them, so that what is read is what is there."""

from __future__ import annotations

import re
import unicodedata

from tenants.exceptions import FieldInvalidError
from tenants.translation import translate

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?", re.ASCII)
# Control, format (bidi overrides, zero-width characters), surrogates, line and paragraph separators.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Letters and marks that are drawn as nothing at all.
_INVISIBLE_CHARACTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def find_invisible_character(text: str) -> str | None:
    """The first character that one cannot see, by which two texts could look the same; None without one."""
    for character in text:
        if unicodedata.category(character) in _INVISIBLE_CATEGORIES or character in _INVISIBLE_CHARACTERS:
            return character
    return None


def clean_name(value: str, *, field: str = "name", max_length: int = 200) -> str:
    """`value` without outer blanks, in NFC; `FieldInvalidError` if empty, too long or with invisible characters."""
    name = unicodedata.normalize("NFC", value.strip())
    if not name:
        raise _invalid(field, translate("It must not be empty."))
    if len(name) > max_length:
        raise _invalid(field, translate("It must not be longer than %(limit)s characters.", {"limit": max_length}))
    if (invisible := find_invisible_character(name)) is not None:
        raise _invalid(
            field,
            translate("It must not contain the invisible character U+%(code)s.", {"code": f"{ord(invisible):04X}"}),
        )
    return name


def clean_slug(value: str, *, field: str = "slug") -> str:
    """`value` if it is 1 to 50 lower-case ASCII letters, digits and inner hyphens, else `FieldInvalidError`."""
    if not _SLUG.fullmatch(value):
        raise _invalid(field, translate("Use 1 to 50 lower-case letters, digits and hyphens, no hyphen at either end."))
    return value


def _invalid(field: str, detail: str) -> FieldInvalidError:
    return FieldInvalidError(f"{field}: {detail}", errors=[{"field": field, "code": "field_invalid", "detail": detail}])
