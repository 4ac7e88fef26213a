"""Parameters of job templates: `{{ parameters.name }}` in a payload, replaced by checked values.

A text that is one reference gets the value with its type; inside a longer text a scalar is inserted. The parameters are
declared by a JSON Schema that uses only KEYWORDS: no patterns, whose cost is not bounded, and no references to other
documents. Neither may a value be a pattern. The functions of this module are pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from scheduling.jobs.job_templates.exceptions import ParametersInvalidError
from tenants.schema_faults import describe_fault
from tenants.translation import translate

KEYWORDS: Final = frozenset(
    {
        "type",
        "title",
        "description",
        "default",
        "enum",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "format",
        "items",
        "minItems",
        "maxItems",
        "properties",
        "required",
        "additionalProperties",
    }
)
MAX_PARAMETERS: Final = 50
MAX_SCHEMA_BYTES: Final = 32 * 1024
MAX_SCHEMA_DEPTH: Final = 6
# With MAX_REFERENCES it bounds a payload before the payload's own limit is checked.
MAX_VALUES_BYTES: Final = 64 * 1024
MAX_REFERENCES: Final = 200
MAX_FAULTS: Final = 20
NAME: Final = r"[a-z][a-z0-9_]{0,62}"
_NAME: Final = re.compile(NAME)
_REFERENCE: Final = re.compile(rf"\{{\{{[ ]*+parameters\.({NAME})[ ]*+\}}\}}")


def check_parameters(schema: Mapping[str, Any], payload: Any) -> None:
    """Raise `ParametersInvalidError` unless the schema is allowed and declares all parameters of the payload."""
    if len(json.dumps(schema, ensure_ascii=False).encode("utf-8", "replace")) > MAX_SCHEMA_BYTES:
        raise _refusal("$", translate("The schema has more than %(limit)s bytes.", {"limit": f"{MAX_SCHEMA_BYTES:,}"}))
    for path, fault in _faults_of_schema(schema, "$", MAX_SCHEMA_DEPTH):
        raise _refusal(path, fault)
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        raise _refusal(error.json_path, describe_fault(error)) from error
    declared = schema.get("properties", {})
    if len(declared) > MAX_PARAMETERS:
        raise _refusal("$", translate("A template has at most %(limit)s parameters.", {"limit": MAX_PARAMETERS}))
    for name, rule in declared.items():
        _check_declaration(name, rule)
    used = [name for text in _texts_in(payload) for name in _REFERENCE.findall(text)]
    if len(used) > MAX_REFERENCES:
        raise _refusal(
            "payload", translate("A payload uses parameters at most %(limit)s times.", {"limit": MAX_REFERENCES})
        )
    for name in used:
        if name not in declared:
            raise _refusal("payload", translate("The parameter %(name)s is not declared.", {"name": name}))


def _check_declaration(name: str, rule: Any) -> None:
    if not _NAME.fullmatch(name):
        raise _refusal(f"$.{name}", translate("Use lower-case letters, digits and underscores, a letter first."))
    if not isinstance(rule, Mapping):
        raise _refusal(f"$.{name}", translate("It must be an object."))


def defaults_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that have a default, with it."""
    declared = schema.get("properties", {})
    return {name: rule["default"] for name, rule in declared.items() if "default" in rule}


def is_reference(text: str) -> bool:
    """Return whether the text is one reference, which gets the value with its type."""
    return _REFERENCE.fullmatch(text) is not None


def references_to(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a reference to each parameter that the schema declares; the schema need not be allowed."""
    declared = schema.get("properties")
    names = declared if isinstance(declared, Mapping) else ()
    return tuple(f"{{{{ parameters.{name} }}}}" for name in names if _NAME.fullmatch(name))


def is_complete(schema: Mapping[str, Any]) -> bool:
    """Return whether every parameter has a default, so that the template can be run without values."""
    return len(defaults_of(schema)) == len(schema.get("properties", {}))


def fill_in(schema: Mapping[str, Any], values: Mapping[str, Any], payload: Any) -> Any:
    """Return the payload with the values, or else the defaults, of its parameters.

    Raise `ParametersInvalidError`, which names each faulty parameter.
    """
    if len(json.dumps(values, ensure_ascii=False).encode("utf-8", "replace")) > MAX_VALUES_BYTES:
        raise _refusal("$", translate("The values have more than %(limit)s bytes.", {"limit": f"{MAX_VALUES_BYTES:,}"}))
    declared = schema.get("properties", {})
    given = defaults_of(schema) | dict(values)
    # Parameters that are missing or unknown are named here, one by one.
    rules = {**schema, "type": "object", "required": [], "additionalProperties": True}
    checker = Draft202012Validator(rules, format_checker=Draft202012Validator.FORMAT_CHECKER)
    found = chain(
        ((f"$.{name}", translate("It must be given.")) for name in declared if name not in given),
        ((f"$.{name}", translate("There is no such parameter.")) for name in given if name not in declared),
        ((fault.json_path, describe_fault(fault)[:500]) for fault in checker.iter_errors(given)),
    )
    if faults := list(islice(found, MAX_FAULTS)):
        raise ParametersInvalidError(
            errors=[{"code": "parameters_invalid", "field": path, "detail": detail} for path, detail in faults]
        )
    return _replace(payload, lambda text: _insert(text, given))


def _insert(text: str, values: Mapping[str, Any]) -> Any:
    whole = _REFERENCE.fullmatch(text)
    if whole is not None:
        return values[whole[1]]
    return _REFERENCE.sub(lambda found: _word(values[found[1]]), text)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _replace(value: Any, change: Callable[[str], Any]) -> Any:
    # A payload's depth was checked before; it is at most `MAX_PAYLOAD_DEPTH`.
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _replace(child, change) for name, child in value.items()}
    if isinstance(value, list):
        return [_replace(child, change) for child in value]
    return value


def _texts_in(value: Any) -> Iterator[str]:
    level = [value]
    while level:
        found = level.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, Mapping):
            level.extend(found.values())
        elif isinstance(found, list):
            level.extend(found)


def _faults_of_schema(schema: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield the parts of a schema that are not allowed, each with its path."""
    if not isinstance(schema, Mapping):
        if not isinstance(schema, bool):
            yield path, translate("It must be an object.")
        return
    if depth == 0:
        yield path, translate("It is nested too deeply.")
        return
    for name in sorted(set(schema) - KEYWORDS):
        yield f"{path}.{name}", translate("The keyword is not allowed here.")
    if schema.get("format") == "regex":
        yield f"{path}.format", translate("The format regex is not allowed here.")
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        yield f"{path}.properties", translate("It must be an object.")
        return
    for name, child in properties.items():
        yield from _faults_of_schema(child, f"{path}.{name}", depth - 1)
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from _faults_of_schema(schema[name], f"{path}.{name}", depth - 1)


def _refusal(path: str, detail: str) -> ParametersInvalidError:
    return ParametersInvalidError(
        f"{path}: {detail}", errors=[{"code": ParametersInvalidError.code, "field": path, "detail": detail}]
    )
