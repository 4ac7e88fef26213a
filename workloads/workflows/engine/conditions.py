"""Evaluation of the conditions of condition nodes and loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from workloads.workflows.definition.node_parts import ELSE
from workloads.workflows.engine.variables import Reading, VariableMissingError

_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
}


def choose_case(config: Mapping[str, Any], reading: Reading) -> str:
    """Return the name of the first case of a condition node that is true, or ``else`` if none is."""
    for case in config["cases"]:
        if holds(case, reading):
            return str(case["name"])
    return ELSE


def holds(condition: Mapping[str, Any], reading: Reading) -> bool:
    """Return whether all tests of a condition are true, or any of them, as it says."""
    how = all if "all" in condition else any
    return how(_is_true(test, reading) for test in condition.get("all") or condition["any"])


def _is_true(test: Mapping[str, Any], reading: Reading) -> bool:
    try:
        left = reading.look_up(test["ref"])
    except VariableMissingError:
        left = None
    return compare(left, test["op"], test.get("value"))


def compare(left: Any, operator: str, right: Any) -> bool:
    """Return whether a test is true, such as `left le right`.

    A missing value counts as null. Values of different types are never equal, and have no order.
    """
    match operator:
        case "eq":
            return _is_same(left, right)
        case "ne":
            return not _is_same(left, right)
        case "in":
            return isinstance(right, list) and any(_is_same(left, one) for one in right)
        case "contains" if isinstance(left, str):
            return isinstance(right, str) and right in left
        case "contains":
            return isinstance(left, list | dict) and any(_is_same(one, right) for one in left)
        case "exists":
            return (left is not None) is (right is not False)
        case "empty":
            return (left in (None, "", [], {})) is (right is not False)
    is_ordered = (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str))
    return is_ordered and _ORDERED[operator](left, right)


def _is_same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
