"""Faults of JSON Schema are shown in the active language, and contain no more of a value than the validator shows."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tenants.schema_faults import describe_fault

CASES: list[tuple[dict[str, Any], Any, str]] = [
    ({"type": "string"}, 7, "7 的类型不是 'string'"),
    ({"type": ["string", "null"]}, 7, "7 的类型不是 'string', 'null'"),
    ({"required": ["url"]}, {}, "缺少必需的属性 'url'"),
    ({"additionalProperties": False}, {"a": 1}, "不允许额外的属性（多出 'a'）"),
    ({"properties": {"b": {}}, "additionalProperties": False}, {"a": 1, "b": 2, "c": 3}, "（多出 'a', 'c'）"),
    ({"enum": ["one", "two"]}, "three", "'three' 不是 ['one', 'two'] 之一"),
    ({"const": "one"}, "two", "应为 'one'"),
    ({"minimum": 3}, 2, "2 小于最小值 3"),
    ({"maximum": 3}, 4, "4 大于最大值 3"),
    ({"exclusiveMinimum": 3}, 3, "3 小于或等于下限 3"),
    ({"exclusiveMaximum": 3}, 3, "3 大于或等于上限 3"),
    ({"multipleOf": 3}, 4, "4 不是 3 的倍数"),
    ({"minLength": 3}, "ab", "'ab' 太短"),
    ({"minLength": 1}, "", "'' 不应为空"),
    ({"maxLength": 1}, "ab", "'ab' 太长"),
    ({"pattern": "^a"}, "b", "'b' 不匹配 '^a'"),
    ({"format": "ipv4"}, "b", "'b' 不是有效的 'ipv4'"),
    ({"maxItems": 0}, [1], "[1] 应为空"),
    ({"uniqueItems": True}, [1, 1], "[1, 1] 有重复的元素"),
    ({"minProperties": 2}, {"a": 1}, "{'a': 1} 的属性不足"),
    ({"maxProperties": 1}, {"a": 1, "b": 2}, "的属性过多"),
    ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "'b' 是 'a' 所依赖的"),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "1 不符合所给模式中的任何一个"),
    ({"allOf": [{"minimum": 3}]}, 1, "1 小于最小值 3"),
]


def faults(schema: Any, value: Any) -> list[ValidationError]:
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return list(validator.iter_errors(value))


@pytest.mark.parametrize(("schema", "value", "text"), CASES, ids=[f"{schema}" for schema, _, _ in CASES])
def test_fault_is_described_in_the_active_language(schema: Any, value: Any, text: str) -> None:
    (fault,) = faults(schema, value)
    assert describe_fault(fault) == fault.message
    with translation.override("zh-hans"):
        assert text in describe_fault(fault)


def test_each_missing_property_is_named() -> None:
    with translation.override("zh-hans"):
        described = [describe_fault(fault) for fault in faults({"required": ["a", "b", "c"]}, {"b": 1})]
    assert described == ["缺少必需的属性 'a'", "缺少必需的属性 'c'"]


@pytest.mark.parametrize("schema", [{"not": {"type": "string"}}, {"contains": {}}, {"oneOf": [{}, {}]}])
def test_fault_of_a_nested_schema_shows_the_expectation_without_the_value(schema: dict[str, Any]) -> None:
    value = [] if "contains" in schema else "secret"
    (fault,) = faults(schema, value)
    ((rule, wanted),) = schema.items()
    assert describe_fault(fault) == f"It does not match {rule}: {wanted}."
    with translation.override("zh-hans"):
        assert describe_fault(fault) != f"It does not match {rule}: {wanted}."


@pytest.mark.parametrize(
    ("keyword", "message"),
    [
        ("type", "The value is not shown."),
        ("acme-rule", "'secret' breaks the rule of acme"),
        (None, "100 % wrong"),
    ],
)
def test_custom_message_is_unchanged(keyword: Any, message: str) -> None:
    fault = ValidationError(message, validator=keyword, validator_value="string", instance="secret", schema={})
    with translation.override("zh-hans"):
        assert describe_fault(fault) == message


def test_percent_signs_of_a_value_are_kept() -> None:
    (fault,) = faults({"type": "integer"}, "100 %(name)s {x}")
    with translation.override("zh-hans"):
        assert describe_fault(fault) == "'100 %(name)s {x}' 的类型不是 'integer'"


def test_long_value_is_not_repeated() -> None:
    (fault,) = faults({"type": "integer"}, "x" * 1_000)
    assert describe_fault(fault) == "It does not match type: 'integer'."
