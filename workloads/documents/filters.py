"""Filters of searches by the metadata of documents.

The grammar: `{"field": condition, …}`, and all must hold. A condition is a value, `{"in": [values]}`, or for numbers
and dates an object with `gt`, `gte`, `lt` and `lte`. Each becomes half-open ranges of keys in the index of values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Never

from tenants.exceptions import FieldInvalidError
from tenants.translation import translate
from workloads.documents.metadata import ORDERED_TYPES, Fields, check_value, key_of

MAX_CONDITIONS = 10
MAX_CHOICES = 50
_BOUNDS = frozenset({"gt", "gte", "lt", "lte"})
# After every key of a number or a date; before every longer key with the same beginning.
_LAST, _NEXT = "~", "\x01"


@dataclass(frozen=True, slots=True)
class Filter:
    """The ranges of keys that the conditions of a filter allow, as columns: the number of the condition, its field,
    the first key and the one after the last. A filter without ranges lets every document pass.
    """

    conditions: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    lows: list[str] = field(default_factory=list)
    highs: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.conditions)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements of a search."""
        columns = {"conditions": self.conditions, "names": self.names, "lows": self.lows, "highs": self.highs}
        return columns | {"is_filtered": bool(self), "conditions_count": max(self.conditions, default=0)}


def read_filter(fields: Fields, asked: object) -> Filter:
    """Return the filter that a request asks for; raise `FieldInvalidError` if it does not fit the dataset's fields."""
    if asked is None:
        return Filter()
    if not isinstance(asked, dict) or len(asked) > MAX_CONDITIONS:
        _refuse(translate("It must be an object with at most %(most)s fields.", {"most": MAX_CONDITIONS}))
    found = Filter()
    for number, (name, condition) in enumerate(asked.items(), 1):
        for low, high in _ranges_of(fields, name, condition):
            found.conditions.append(number)
            found.names.append(name)
            found.lows.append(low)
            found.highs.append(high)
    return found


def _ranges_of(fields: Fields, name: str, condition: object) -> Iterator[tuple[str, str]]:
    if not isinstance(condition, dict):
        yield _only(fields, name, condition)
    elif condition.keys() == {"in"}:
        choices = condition["in"]
        if not isinstance(choices, list) or not 1 <= len(choices) <= MAX_CHOICES:
            _refuse(translate("in must be a list of 1 to %(most)s values.", {"most": MAX_CHOICES}))
        yield from dict.fromkeys(_only(fields, name, choice) for choice in choices)
    elif condition and condition.keys() <= _BOUNDS:
        yield _between(fields, name, condition)
    else:
        _refuse(translate("A condition is a value, an object with in, or one with gt, gte, lt and lte."))


def _only(fields: Fields, name: str, value: object) -> tuple[str, str]:
    """Return the range with one key."""
    if isinstance(value, list):
        _refuse(translate("A list cannot be compared: give one of its texts, or several by in."))
    key = _key(fields, name, value)
    return key, key + _NEXT


def _between(fields: Fields, name: str, condition: dict[str, object]) -> tuple[str, str]:
    """Return the range between the bounds of numbers or dates; several bounds of one side must all hold."""
    keys = {bound: _key(fields, name, value) for bound, value in condition.items()}
    if fields[name] not in ORDERED_TYPES:
        _refuse(translate("gt, gte, lt and lte are for numbers and dates."))
    lows = [key + _NEXT if bound == "gt" else key for bound, key in keys.items() if bound.startswith("gt")]
    highs = [key + _NEXT if bound == "lte" else key for bound, key in keys.items() if bound.startswith("lt")]
    return max(lows, default=""), min(highs, default=_LAST)


def _key(fields: Fields, name: str, value: object) -> str:
    return key_of(check_value(fields, name, value, field="filter"))


def _refuse(detail: str) -> Never:
    raise FieldInvalidError.at("filter", detail)
