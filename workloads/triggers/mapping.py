"""The mapping of a request to a payload: the language of workflows, in which the request is the inputs. It is pure.

A value ``{"ref": "inputs.body.id"}`` is the referenced value, ``{"template": "Order {{ inputs.body.id }}"}`` a rendered
text; all others are constants.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tenants.translation import translate
from workloads.workflows.definition.expressions import Expression, ExpressionInvalidError, of_value, paths_in
from workloads.workflows.definition.template_budget import TemplateFailedError, VariableMissingError
from workloads.workflows.definition.templates import render_template
from workloads.workflows.engine.variables import walk_path

MAX_MAPPING_BYTES: Final = 32 * 1024
MAX_EXPRESSIONS: Final = 50
MAX_DEPTH: Final = 16
MAX_SECONDS: Final = 2.0
PARTS: Final = ("body", "headers", "query")

type Fault = str


class MappingError(Exception):
    """Raised if a request does not fit a mapping; the message is the reason."""


def check_mapping(mapping: Any) -> Fault:
    """Return why a mapping is refused, or an empty text."""
    if not isinstance(mapping, Mapping):
        return translate("It must be an object.")
    if len(json.dumps(mapping).encode()) > MAX_MAPPING_BYTES:
        return translate("It has more than %(limit)s bytes.", {"limit": f"{MAX_MAPPING_BYTES:,}"})
    if _depth_of(mapping) > MAX_DEPTH:
        return translate("It is nested deeper than %(limit)s levels.", {"limit": MAX_DEPTH})
    expressions = list(_expressions_in(mapping))
    if len(expressions) > MAX_EXPRESSIONS:
        return translate("It has more than %(limit)s references and templates.", {"limit": MAX_EXPRESSIONS})
    return next(filter(None, (_check_expression(each, PARTS) for each in expressions)), "")


def check_key(reference: str) -> Fault:
    """Return why a reference to the key of a request is refused, or an empty text. Only the body is signed."""
    return _check_expression(Expression("", "reference", reference), ("body",)) if reference else ""


def map_request(mapping: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload that a checked mapping makes of a request; raise `MappingError` if it does not fit."""
    if mapping:
        return dict(_evaluate(mapping, {"inputs": request}, time.monotonic() + MAX_SECONDS))
    if not isinstance(request["body"], dict):
        raise MappingError(translate("Without a mapping the body must be a JSON object."))
    return request["body"]


def key_of(reference: str, request: Mapping[str, Any]) -> str:
    """Return the key of a request as text; raise `MappingError` if the body has none."""
    value = _look_up(reference, {"inputs": request})
    if value is None or value == "":
        raise MappingError(translate("%(path)s is empty.", {"path": reference}))
    return json.dumps(value, sort_keys=True)


def _evaluate(value: Any, variables: Mapping[str, Any], ends_at: float) -> Any:
    if isinstance(value, list):
        return [_evaluate(child, variables, ends_at) for child in value]
    if not isinstance(value, Mapping):
        return value
    if not _is_expression(value):
        return {name: _evaluate(child, variables, ends_at) for name, child in value.items()}
    if time.monotonic() > ends_at:
        raise MappingError(translate("The mapping takes more than %(limit)s s.", {"limit": f"{MAX_SECONDS:g}"}))
    if "ref" in value:
        return _look_up(value["ref"], variables)
    try:
        return render_template(value["template"], variables)
    except (TemplateFailedError, VariableMissingError) as error:
        raise MappingError(str(error)) from error


def _look_up(reference: str, variables: Mapping[str, Any]) -> Any:
    try:
        return walk_path(tuple(reference.split(".")), variables)
    except VariableMissingError as error:
        raise MappingError(str(error)) from error


def _is_expression(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and next(of_value("", value), None) is not None


def _expressions_in(value: Any) -> Iterator[Expression]:
    if isinstance(value, Mapping):
        if _is_expression(value):
            yield from of_value("", value)
            return
        value = list(value.values())
    if isinstance(value, list):
        for child in value:
            yield from _expressions_in(child)


def _check_expression(expression: Expression, parts: tuple[str, ...]) -> Fault:
    try:
        paths = paths_in(expression)
    except ExpressionInvalidError as error:
        return f"{expression.text[:100]}: {error}"
    for path in paths:
        if path[0] != "inputs" or len(path) < 2 or path[1] not in parts:
            named = {"path": ".".join(path)[:100], "parts": ", ".join(f"inputs.{part}" for part in parts)}
            return translate("%(path)s: a value begins with %(parts)s.", named)
    return ""


def _depth_of(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        children = [list(each.values()) if isinstance(each, Mapping) else each for each in level]
        level = [
            child for each in children if isinstance(each, list) for child in each if isinstance(child, Mapping | list)
        ]
    return depth
