"""Retry rules of a plan: validation, and the lines in which people write them."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from tenants.plans.retry_rules import MOST_RULES, check_retry_rules, read_retry_rules, write_retry_rules


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"*": {"max_retries": 5}},
        {"http_call": {"max_retries": 0, "delays_seconds": [0, 86_400]}},
        {"a.b-c_D9": {"delays_seconds": [1] * 20}},
    ],
)
def test_retry_rules_are_equal_after_writing_and_reading(rules: dict[str, Any]) -> None:
    check_retry_rules(rules)
    assert read_retry_rules(write_retry_rules(rules)) == rules


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        ([], "object of rules"),
        ("*: 3", "object of rules"),
        ({"": {"max_retries": 1}}, "not a valid name of a kind"),
        ({"two words": {"max_retries": 1}}, "not a valid name of a kind"),
        ({"x" * 65: {"max_retries": 1}}, "not a valid name of a kind"),
        ({"noop": {}}, "max_retries, delays_seconds, or both"),
        ({"noop": 3}, "max_retries, delays_seconds, or both"),
        ({"noop": {"retries": 3}}, "nothing else"),
        ({"noop": {"max_retries": -1}}, "from 0 to 100"),
        ({"noop": {"max_retries": 101}}, "from 0 to 100"),
        ({"noop": {"max_retries": True}}, "from 0 to 100"),
        ({"noop": {"max_retries": 1.0}}, "from 0 to 100"),
        ({"noop": {"delays_seconds": []}}, "1 to 20 integers"),
        ({"noop": {"delays_seconds": [1] * 21}}, "1 to 20 integers"),
        ({"noop": {"delays_seconds": ["60"]}}, "1 to 20 integers"),
        ({"noop": {"delays_seconds": [86_401]}}, "1 to 20 integers"),
        ({f"kind{n}": {"max_retries": 1} for n in range(MOST_RULES + 1)}, "At most 100"),
    ],
)
def test_invalid_rule_is_refused_with_its_reason(rules: Any, what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        check_retry_rules(rules)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("", {}),
        ("\n  \n", {}),
        ("noop: 2", {"noop": {"max_retries": 2}}),
        ("noop: 1 retry", {"noop": {"max_retries": 1}}),
        ("  noop :2 retries after 30,60 s ", {"noop": {"max_retries": 2, "delays_seconds": [30, 60]}}),
        ("*: after 5", {"*": {"delays_seconds": [5]}}),
        ("a: 1\r\nb: after 1 2 3", {"a": {"max_retries": 1}, "b": {"delays_seconds": [1, 2, 3]}}),
    ],
)
def test_lines_are_parsed_into_rules(text: str, rules: dict[str, Any]) -> None:
    assert read_retry_rules(text) == rules


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("noop", "Line 1"),
        ("noop: 1\nmail: often", "Line 2"),
        ("noop:", "Line 1"),
        ("noop: ٣", "Line 1"),
        ("noop: 1\nnoop: 2", "already has a rule"),
        ("noop: 1 after x", "Line 1"),
        ("noop: 101", "from 0 to 100"),
    ],
)
def test_invalid_line_is_named_in_the_error(text: str, what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        read_retry_rules(text)
