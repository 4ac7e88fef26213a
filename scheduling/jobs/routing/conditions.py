"""The condition language of routing rules: checked when a rule is saved, evaluated at submission. No Django.

A condition is ``{"field": "source.pages", "op": "gt", "value": 100}``; a list of conditions requires all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from tenants.exceptions import FieldInvalidError

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": eq,
    "ne": ne,
    "lt": lt,
    "le": le,
    "gt": gt,
    "ge": ge,
    "in": lambda value, choices: any(_is_same(value, choice) for choice in choices),
    "exists": lambda value, expected: (value is not None) is expected,
}
OPERATORS = tuple(_COMPARISONS)
_ORDERED = frozenset({"lt", "le", "gt", "ge"})
_KEYS = {"field", "op", "value"}
_FIELD = re.compile(r"[^.\s]{1,100}(?:\.[^.\s]{1,100}){0,9}")
MAX_CONDITIONS = 20
MAX_CHOICES = 200


def conditions_of(condition: Any) -> Sequence[Mapping[str, Any]]:
    """Return a rule's condition as a list, of which all must hold; an empty list always holds."""
    if not condition:
        return ()
    return (condition,) if isinstance(condition, Mapping) else tuple(condition)


def failing_condition(condition: Any, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the first condition that does not hold for the payload; None if all do."""
    return next((part for part in conditions_of(condition) if not _holds(part, payload)), None)


def describe_condition(condition: Mapping[str, Any]) -> str:
    """Return a condition as text."""
    return f"{condition['field']} {condition['op']} {condition['value']!r}"


def check_condition(condition: Any) -> None:
    """Raise FieldInvalidError unless submission can evaluate the condition."""
    if condition is None:
        return
    if not isinstance(condition, (Mapping, list)) or not condition:
        raise FieldInvalidError("condition: give one condition or a list of conditions, all of which must hold.")
    parts = conditions_of(condition)
    if len(parts) > MAX_CONDITIONS:
        raise FieldInvalidError("condition: at most %(limit)s conditions.", {"limit": MAX_CONDITIONS})
    for part in parts:
        _check_part(part)


def _holds(condition: Mapping[str, Any], payload: Mapping[str, Any]) -> bool:
    """Return whether a condition holds; a missing or incomparable field only satisfies ``exists: false`` and ``ne``."""
    value: Any = payload
    for name in str(condition["field"]).split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    op, expected = condition["op"], condition["value"]
    # JSON's true is no number, though Python's is.
    if op not in ("in", "exists") and isinstance(value, bool) is not isinstance(expected, bool):
        return bool(op == "ne")
    try:
        return _COMPARISONS[op](value, expected)
    except TypeError:
        return False


def _is_same(value: Any, choice: Any) -> bool:
    return isinstance(value, bool) is isinstance(choice, bool) and bool(value == choice)


def _check_part(condition: Any) -> None:
    if not isinstance(condition, Mapping) or set(condition) != _KEYS:
        raise FieldInvalidError("condition: the keys must be field, op and value.")
    field, op, value = condition["field"], condition["op"], condition["value"]
    if not isinstance(field, str) or not _FIELD.fullmatch(field):
        raise FieldInvalidError("condition: field must be a payload path, such as pages or source.type.")
    if op not in OPERATORS:
        raise FieldInvalidError("condition: op must be one of %(known)s.", {"known": ", ".join(OPERATORS)})
    if op == "in" and not (isinstance(value, list) and 1 <= len(value) <= MAX_CHOICES):
        raise FieldInvalidError(
            "condition: for op “in”, value must be a list of 1 to %(limit)s values.", {"limit": MAX_CHOICES}
        )
    if op == "exists" and not isinstance(value, bool):
        raise FieldInvalidError("condition: for op “exists”, value must be true or false.")
    if op in _ORDERED and (isinstance(value, bool) or not isinstance(value, (int, float, str))):
        raise FieldInvalidError("condition: for op “%(op)s”, value must be a number or a text.", {"op": op})
