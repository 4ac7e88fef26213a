"""The terms of a filter: each is a field with its values, and can be written as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

type Value = str | int | UUID | timedelta | datetime

# The field name of free words, which are written without one.
WORDS = ""
# Words that join conditions in other languages. As search words they would silently find nothing.
JOINING_WORDS = frozenset({"AND", "OR", "NOT"})
_BARE_VALUE = re.compile(r'[^\s",\\<>=][^\s",\\]*')
_BARE_WORD = re.compile(r'[^\s",\\:-][^\s",\\:]*')


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a filter: the field equals one of the values, or compares by ``op`` with the only value."""

    field: str
    values: tuple[Value, ...]
    op: str = ""
    is_negated: bool = False

    @property
    def text(self) -> str:
        """Return the canonical text of the condition, equal for all ways to write it."""
        sign = "-" if self.is_negated else ""
        if self.field == WORDS:
            return sign + write_word(str(self.values[0]))
        return f"{sign}{self.field}:{self.op}{','.join(map(write_value, self.values))}"


def meta_member(field: str) -> str | None:
    """Return the name of the member of meta that a field such as `meta.order` compares, None for another field."""
    head, dot, member = field.partition(".")
    return member if dot and head.lower() == "meta" else None


def write_value(value: Value) -> str:
    """Return the text of one value of a field, in quotation marks if needed."""
    if isinstance(value, datetime):
        return write_moment(value)
    if isinstance(value, timedelta):
        return write_duration(value)
    text = str(value)
    return text if _BARE_VALUE.fullmatch(text) else quote(text)


def write_word(word: str) -> str:
    """Return the text of one free word, in quotation marks if needed."""
    return word if _BARE_WORD.fullmatch(word) and word not in JOINING_WORDS else quote(word)


def quote(text: str) -> str:
    """Return the text in quotation marks."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def write_moment(moment: datetime) -> str:
    """Return a UTC time as text; midnight is written as a date."""
    text = moment.replace(tzinfo=None).isoformat()
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else f"{text}Z"


def write_duration(duration: timedelta) -> str:
    """Return a duration as text, in the largest units of whole seconds: ``1d12h``."""
    seconds, parts = int(duration.total_seconds()), ""
    for unit, size in UNIT_SECONDS.items():
        count, seconds = divmod(seconds, size)
        parts += f"{count}{unit}" if count else ""
    return parts or "0s"


UNIT_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
