"""The language of routing conditions: evaluation, and refusals when a rule is saved."""

from __future__ import annotations

from typing import Any

import pytest

from scheduling.jobs.routing.conditions import check_condition, failing_condition
from tenants.exceptions import FieldInvalidError

PAYLOAD = {"pages": 120, "paid": True, "source": {"type": "pdf", "tags": ["a"]}}


def condition(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        (None, True),
        (condition("pages", "gt", 100), True),
        (condition("pages", "ge", 120), True),
        (condition("pages", "lt", 120), False),
        (condition("pages", "gt", "100"), False),
        (condition("source.type", "eq", "pdf"), True),
        (condition("source.type", "in", ["docx", "pdf"]), True),
        (condition("source.kind", "exists", False), True),
        (condition("source.kind", "eq", "x"), False),
        (condition("source.kind", "ne", "x"), True),
        (condition("source.type.deeper", "exists", True), False),
        (condition("paid", "eq", 1), False),
        (condition("paid", "in", [1]), False),
        (condition("paid", "ne", 1), True),
        (condition("paid", "ge", 1), False),
        (condition("source.tags", "eq", ["a"]), True),
        ([condition("pages", "gt", 100), condition("paid", "eq", True)], True),
        ([condition("pages", "gt", 100), condition("paid", "eq", False)], False),
    ],
)
def test_condition_is_evaluated_on_a_payload(rule: Any, holds: bool) -> None:
    check_condition(rule)
    assert (failing_condition(rule, PAYLOAD) is None) is holds


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ([], "give one condition"),
        ({}, "give one condition"),
        ("pages > 3", "give one condition"),
        ({"field": "a", "op": "eq"}, "the keys must be"),
        ({"field": "a", "op": "eq", "value": 1, "else": 2}, "the keys must be"),
        (condition("", "eq", 1), "must be a payload path"),
        (condition("a..b", "eq", 1), "must be a payload path"),
        (condition("a b", "eq", 1), "must be a payload path"),
        (condition("a", "resembles", 1), "op must be one of"),
        (condition("a", "in", "abc"), "must be a list"),
        (condition("a", "in", []), "must be a list"),
        (condition("a", "exists", 1), "true or false"),
        (condition("a", "gt", None), "a number or a text"),
        (condition("a", "gt", True), "a number or a text"),
        ([condition("a", "eq", 1)] * 21, "at most 20"),
        ([condition("a", "eq", 1), 7], "the keys must be"),
    ],
)
def test_invalid_condition_is_refused_with_a_reason(rule: Any, words: str) -> None:
    with pytest.raises(FieldInvalidError, match=words):
        check_condition(rule)
