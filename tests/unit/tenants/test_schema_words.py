"""What JSON Schema finds wrong with a value is told in the reader's language, and never more of it than before."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tenants.schema_words import told_fault

CASES: list[tuple[dict[str, Any], Any, str]] = [
    ({"type": "string"}, 7, "7 的类型不是 'string'"),
    ({"type": ["string", "null"]}, 7, "7 的类型不是 'string', 'null'"),
    ({"required": ["url"]}, {}, "缺少必需的属性 'url'"),
    ({"additionalProperties": False}, {"a": 1}, "不允许额外的属性（多出 'a'）"),
    ({"properties": {"b": {}}, "additionalProperties": False}, {"a": 1, "b": 2, "c": 3}, "（多出 'a', 'c'）"),
    ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"a": 1}, "'a' 不匹配任何正则表达式：'^x'"),
    ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"a": 1, "b": 1}, "'a', 'b' 不匹配任何"),
    ({"unevaluatedProperties": False}, {"a": 1}, "不允许额外的属性（多出 'a'）"),
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
    ({"maxLength": 0}, "ab", "'ab' 应为空"),
    ({"pattern": "^a"}, "b", "'b' 不匹配 '^a'"),
    ({"format": "ipv4"}, "b", "'b' 不是有效的 'ipv4'"),
    ({"minItems": 1}, [], "[] 不应为空"),
    ({"minItems": 2}, [1], "[1] 太短"),
    ({"maxItems": 1}, [1, 2], "[1, 2] 太长"),
    ({"uniqueItems": True}, [1, 1], "[1, 1] 有重复的元素"),
    ({"items": False, "prefixItems": [{}]}, [1, 2], "最多 1 个元素，却多出 1 个：2"),
    ({"items": False}, [1, 2], "最多 0 个元素，却多出 2 个：[1, 2]"),
    ({"minProperties": 1}, {}, "{} 不应为空"),
    ({"minProperties": 2}, {"a": 1}, "{'a': 1} 的属性不足"),
    ({"maxProperties": 1}, {"a": 1, "b": 2}, "的属性过多"),
    ({"maxProperties": 0}, {"a": 1}, "{'a': 1} 应为空"),
    ({"contains": {"const": 1}}, [2], "[2] 中没有符合所给模式的元素"),
    ({"contains": {}, "maxContains": 1}, [1, 2], "符合所给模式的元素过多（最多应有 1 个）"),
    ({"contains": {"const": 1}, "minContains": 2}, [1, 2], "符合所给模式的元素过少（至少应有 2 个，只有 1 个）"),
    ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "'b' 是 'a' 所依赖的"),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "1 不符合所给模式中的任何一个"),
    ({"oneOf": [{"type": "string"}, {"type": "null"}]}, 1, "1 不符合所给模式中的任何一个"),
    ({"oneOf": [{}, {"type": "integer"}]}, 1, "1 同时符合 {'type': 'integer'}, {}"),
    ({"not": {"type": "integer"}}, 1, "1 不应符合 {'type': 'integer'}"),
    ({"allOf": [{"minimum": 3}]}, 1, "1 小于最小值 3"),
    ({"properties": {"a": False}}, {"a": 1}, "模式 False 不允许 1"),
]


def faults(schema: Any, value: Any) -> list[ValidationError]:
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return list(validator.iter_errors(value))


@pytest.mark.parametrize(("schema", "value", "words"), CASES, ids=[f"{schema}" for schema, _, _ in CASES])
def test_each_rule_is_told_in_the_readers_language(schema: Any, value: Any, words: str) -> None:
    (fault,) = faults(schema, value)
    assert told_fault(fault) == fault.message
    with translation.override("zh-hans"):
        assert words in told_fault(fault)


def test_each_property_that_is_missing_is_told_by_its_name() -> None:
    with translation.override("zh-hans"):
        told = [told_fault(fault) for fault in faults({"required": ["a", "b", "c"]}, {"b": 1})]
    assert told == ["缺少必需的属性 'a'", "缺少必需的属性 'c'"]


@pytest.mark.parametrize(
    ("keyword", "message"),
    [
        ("type", "The value is not shown."),
        ("acme-rule", "'secret' breaks the rule of acme"),
        (None, "100 % wrong"),
    ],
)
def test_what_somebody_else_has_written_is_told_as_it_is(keyword: Any, message: str) -> None:
    fault = ValidationError(message, validator=keyword, validator_value="string", instance="secret", schema={})
    with translation.override("zh-hans"):
        assert told_fault(fault) == message


def test_a_value_with_signs_of_its_own_stays_as_it_is() -> None:
    (fault,) = faults({"type": "integer"}, "100 %(name)s {x}")
    with translation.override("zh-hans"):
        assert told_fault(fault) == "'100 %(name)s {x}' 的类型不是 'integer'"
