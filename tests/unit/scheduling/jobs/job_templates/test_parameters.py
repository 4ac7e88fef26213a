"""Parameters of job templates: allowed schemas, and payloads with their values."""

from __future__ import annotations

from typing import Any

import pytest

from scheduling.jobs.job_templates.exceptions import ParametersInvalidError
from scheduling.jobs.job_templates.parameters import MAX_REFERENCES, check_parameters, fill_in, is_complete

SCHEMA: dict[str, Any] = {
    "properties": {
        "date": {"type": "string", "format": "date"},
        "limit": {"type": "integer", "minimum": 1, "default": 10},
        "options": {"type": "object", "default": {"deep": True}},
    }
}
PAYLOAD = {
    "report": "sales of {{ parameters.date }}, at most {{parameters.limit}}",
    "limit": "{{ parameters.limit }}",
    "nested": [{"options": "{{ parameters.options }}"}, 7, None],
}


def fault_of(schema: Any, payload: Any = None) -> str:
    with pytest.raises(ParametersInvalidError) as refusal:
        check_parameters(schema, payload or {})
    return f"{refusal.value.errors[0]['field']}: {refusal.value.errors[0]['detail']}"


def test_payload_gets_values_and_defaults_with_their_types() -> None:
    check_parameters(SCHEMA, PAYLOAD)
    assert fill_in(SCHEMA, {"date": "2026-11-01"}, PAYLOAD) == {
        "report": "sales of 2026-11-01, at most 10",
        "limit": 10,
        "nested": [{"options": {"deep": True}}, 7, None],
    }


def test_values_are_not_searched_for_further_parameters() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "string", "default": "secret"}}}
    assert fill_in(schema, {"a": "{{ parameters.b }}"}, {"x": "{{ parameters.a }}"}) == {"x": "{{ parameters.b }}"}


@pytest.mark.parametrize(
    ("values", "named"),
    [({}, "$.date"), ({"date": "2026-11-01", "limit": 0}, "$.limit"), ({"date": "2026-11-01", "more": 1}, "$.more")],
)
def test_values_that_do_not_fit_are_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ParametersInvalidError) as refusal:
        fill_in(SCHEMA, values, PAYLOAD)
    assert named in str(refusal.value.errors)


def test_template_is_complete_when_each_parameter_has_a_default() -> None:
    assert is_complete({})
    assert is_complete({"properties": {"a": {"default": None}}})
    assert not is_complete(SCHEMA)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "string", "pattern": "(a+)+$"}}},
        {"$ref": "https://example.com/schema.json"},
        {"properties": {"a": {"items": {"patternProperties": {}}}}},
        {"properties": {"Bad Name": {"type": "string"}}},
        {"properties": {"a": {"type": "texts"}}},
        {"properties": []},
        {"properties": {"a": True}},
        {"properties": {"a": {"items": {"format": "regex"}}}},
        {"properties": {f"p{number}": {} for number in range(51)}},
    ],
)
def test_schema_that_is_not_allowed_is_refused(schema: Any) -> None:
    assert fault_of(schema)


def test_schema_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(7):
        schema = {"properties": {"a": schema}}
    assert "nested too deeply" in fault_of(schema)


def test_undeclared_parameter_of_a_payload_is_refused() -> None:
    assert "end" in fault_of(SCHEMA, {"x": "from {{ parameters.date }} to {{ parameters.end }}"})


def test_payload_with_too_many_parameters_is_refused() -> None:
    text = "{{ parameters.date }}" * (MAX_REFERENCES + 1)
    assert str(MAX_REFERENCES) in fault_of(SCHEMA, {"x": text})


def test_values_of_more_bytes_than_allowed_are_refused() -> None:
    with pytest.raises(ParametersInvalidError, match="bytes"):
        fill_in({"properties": {"a": {}}}, {"a": "x" * 70_000}, {"x": "{{ parameters.a }}"})
