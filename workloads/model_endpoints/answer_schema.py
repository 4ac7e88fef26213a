"""JSON Schemas that a model's answer must match: what they may contain, and the validation of an answer. Pure.

Schemas and answers come from outside, and are validated on an event loop that other runs share. So keywords that cost
more than one step for each value (patterns, uniqueness) are refused, references may lead only to ``$defs`` and form no
circle, and the steps of a validation are bounded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError
from referencing import Registry

from tenants.schema_faults import describe_fault
from tenants.translation import translate

MAX_SCHEMA_STEPS: Final = 2_000
# Of a schema's steps times the values of an answer: about two seconds.
MAX_STEPS: Final = 500_000
_DEFINITIONS: Final = "#/$defs/"
_NESTED: Final = frozenset({"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"})
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS: Final = frozenset({"properties", "$defs", "dependentSchemas"})
_PLAIN: Final = frozenset(
    {"type", "enum", "const", "required", "title", "description", "default", "examples", "format", "deprecated"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
    | {"minItems", "maxItems", "minProperties", "maxProperties", "dependentRequired", "readOnly", "writeOnly"}
)


class SchemaRefusedError(ValueError):
    """Raised for a schema that cannot be checked in bounded time; the message is the reason."""


class AnswerMismatchError(ValueError):
    """Raised for an answer that does not match; the message is the reason, for the model and for people."""


def check_answer_schema(schema: Mapping[str, Any]) -> None:
    """Raise `SchemaRefusedError` unless answers can be validated against the schema."""
    try:
        _steps_of(schema, schema, ())
        Draft202012Validator.check_schema(dict(schema))
    except RecursionError:
        raise SchemaRefusedError(translate("The schema is too large.")) from None
    except SchemaError as error:
        raise SchemaRefusedError(describe_fault(error)) from error


def read_answer(text: str, schema: Mapping[str, Any] | None) -> Any:
    """Return the JSON value of an answer that matches the schema, or any object if it is None.

    Raise `AnswerMismatchError` if it does not match.
    """
    value = parse_answer(text)
    if schema is not None:
        require_match(value, schema)
    elif not isinstance(value, dict):
        raise AnswerMismatchError("It is not a JSON object.")
    return value


def parse_answer(text: str) -> Any:
    """Return the JSON value that a text is; raise `AnswerMismatchError` if it is none."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise AnswerMismatchError("It is nested too deeply.") from None
    except ValueError as error:
        raise AnswerMismatchError(f"It is not JSON: {error}") from None


def require_match(value: Any, schema: Mapping[str, Any]) -> None:
    """Raise `AnswerMismatchError` unless a JSON value matches a schema that `check_answer_schema` accepts."""
    if _steps_of(schema, schema, ()) * _size_of(value) > MAX_STEPS:
        raise AnswerMismatchError("It has too many values to be checked against the schema.")
    fault = next(Draft202012Validator(dict(schema), registry=Registry()).iter_errors(value), None)
    if fault is not None:
        raise AnswerMismatchError(f"{fault.json_path}: {describe_fault(fault)}"[:1_000])


def _steps_of(schema: Any, root: Mapping[str, Any], around: tuple[str, ...]) -> int:
    """Return the most steps that the validation of one value takes, with the schemas of references counted again."""
    if isinstance(schema, bool):
        return 1
    if not isinstance(schema, Mapping):
        raise SchemaRefusedError(translate("A schema must be an object, true or false."))
    steps, walk = 1, partial(_steps_of, root=root, around=around)
    for keyword, value in schema.items():
        if keyword == "$ref":
            steps += _steps_of_reference(value, root, around)
        elif keyword in _NESTED:
            steps += walk(value)
        elif keyword in _LISTS and isinstance(value, list):
            steps += sum(map(walk, value))
        elif keyword in _MAPS and isinstance(value, Mapping):
            # Definitions take steps only where a reference leads to them.
            steps += 0 if keyword == "$defs" else sum(map(walk, value.values()))
        elif keyword in _PLAIN:
            steps += len(value) if isinstance(value, list | dict) else 1
        else:
            raise SchemaRefusedError(
                translate("The keyword %(keyword)s is not supported here.", {"keyword": keyword[:50]})
            )
        if steps > MAX_SCHEMA_STEPS:
            raise SchemaRefusedError(translate("The schema is too large."))
    return steps


def _steps_of_reference(reference: Any, root: Mapping[str, Any], around: tuple[str, ...]) -> int:
    name = str(reference).removeprefix(_DEFINITIONS)
    definitions = root.get("$defs")
    if not isinstance(definitions, Mapping) or reference != _DEFINITIONS + name or name not in definitions:
        raise SchemaRefusedError(translate("A reference must lead to a member of $defs of the schema."))
    if name in around:
        raise SchemaRefusedError(translate("The references of the schema form a circle."))
    return _steps_of(definitions[name], root, (*around, name))


def _size_of(value: Any) -> int:
    size, pending = 0, [value]
    while pending:
        size += 1
        one = pending.pop()
        pending.extend(one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
    return size


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")
