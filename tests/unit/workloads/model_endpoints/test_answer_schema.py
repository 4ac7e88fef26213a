"""JSON Schemas of answers: what is refused when they are saved, and how an answer is validated."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from workloads.model_endpoints.answer_schema import (
    MAX_SCHEMA_STEPS,
    AnswerMismatchError,
    SchemaRefusedError,
    check_answer_schema,
    read_answer,
)

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def doubled(depth: int) -> dict[str, Any]:
    """Return a schema whose validation takes two to the power of ``depth`` steps."""
    names = [f"d{number}" for number in range(depth)]
    following = pairwise(names)
    definitions: dict[str, Any] = {one: {"allOf": [{"$ref": f"#/$defs/{two}"}] * 2} for one, two in following}
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, names[-1]: {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "(a+)+$"},
        {"properties": {"a": {"patternProperties": {"(a+)+$": {}}}}},
        {"type": "array", "uniqueItems": True},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/gone"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}},
        {"$id": "https://example.com/"},
        {"type": "strange"},
        {"items": [1]},
        {"enum": list(range(MAX_SCHEMA_STEPS))},
        doubled(30),
        doubled(3_000),
    ],
)
def test_schema_of_unbounded_cost_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaRefusedError):
        check_answer_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        CITY,
        {"type": "object", "properties": {"pattern": {"type": "string"}, "$ref": {"type": "integer"}}},
        {"type": "array", "items": {"$ref": "#/$defs/city"}, "$defs": {"city": CITY}},
        doubled(8),
        {},
    ],
)
def test_usual_schema_is_accepted(schema: Any) -> None:
    check_answer_schema(schema)


def test_matching_answer_is_returned() -> None:
    schema = {"type": "array", "items": {"$ref": "#/$defs/city"}, "$defs": {"city": CITY}}
    assert read_answer('[{"city": "Rome"}]', schema) == [{"city": "Rome"}]
    assert read_answer('{"a": 1}', None) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "schema", "reason"),
    [
        ("Rome", CITY, "not JSON"),
        ('{"city": NaN}', CITY, "not JSON"),
        ("[" * 100_000, CITY, "not JSON|nested"),
        ('{"town": "Rome"}', CITY, "city"),
        ('{"city": 7}', CITY, r"\$\.city"),
        ("[]", None, "object"),
        (json.dumps(list(range(400_000))), {"items": CITY}, "too many"),
    ],
)
def test_other_answer_is_refused_with_its_reason(text: str, schema: Any, reason: str) -> None:
    with pytest.raises(AnswerMismatchError, match=reason):
        read_answer(text, schema)
