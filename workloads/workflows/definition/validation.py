"""Validation of definitions. Each fault has a code, a message, and its position as a JSON pointer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tenants.schema_faults import describe_fault
from tenants.secrets.references import Path, faults_of_references
from tenants.translation import translate
from workloads.workflows.definition.graph_checks import check_graphs, check_kinds
from workloads.workflows.definition.node_types import GRAPH_TYPES, Vocabulary
from workloads.workflows.definition.schema import GRAPH, WORKFLOW
from workloads.workflows.definition.tenant_checks import UNBOUNDED, TenantBounds, check_bounds
from workloads.workflows.definition.variable_checks import check_variables

# Only the first faults of a definition are reported.
MAX_FAULTS = 100


@dataclass(frozen=True, slots=True)
class WorkflowFault:
    """One fault in a definition; ``pointer`` is its position as a JSON pointer."""

    code: str
    pointer: str
    detail: str

    def describe(self) -> dict[str, str]:
        """Return the fault as a dict, for the API."""
        return asdict(self)


def faults_in(
    definition: Any, bounds: TenantBounds = UNBOUNDED, vocabulary: Vocabulary = WORKFLOW
) -> list[WorkflowFault]:
    """Return the first MAX_FAULTS faults of a definition; an empty list if it is valid.

    The schema, the references to secrets, the graph, the variables, what the tenant may use, and the kinds of
    jobs are checked in this order. Each is checked only if the ones before it have no fault.
    """
    faults = list(_faults_of_shape(definition, "", vocabulary, depth=0, max_depth=bounds.max_depth))
    if not faults:
        found_secrets = faults_of_references(definition, lambda path: _is_header(definition, path))
        faults = [WorkflowFault(fault.code, fault.pointer, fault.detail) for fault in found_secrets]
    if not faults:
        faults = [WorkflowFault(*found) for found in check_graphs(definition, vocabulary)]
    if not faults:
        faults = [WorkflowFault(*found) for found in check_variables(definition, vocabulary)]
    if not faults:
        faults = [WorkflowFault(*found) for found in check_bounds(definition, bounds)]
    if not faults:
        faults = [WorkflowFault(*found) for found in check_kinds(definition, bounds.is_submittable)]
    return faults[:MAX_FAULTS]


def _is_header(definition: Any, path: Path) -> bool:
    """Return True if a path leads to the value of a header of an http_request node."""
    if len(path) < 5 or path[-3:-1] != ("config", "headers") or path[-5] != "nodes":
        return False
    node = definition
    for part in path[:-3]:
        node = node[part]
    return bool(node["type"] == "http_request")


def _faults_of_shape(
    graph: Any, pointer: str, vocabulary: Vocabulary, *, depth: int, max_depth: int
) -> Iterator[WorkflowFault]:
    found = list(schema_faults(_graph_validator(), graph, pointer))
    yield from found
    if found:
        return
    for number, node in enumerate(graph["nodes"]):
        place = f"{pointer}/nodes/{number}"
        found = list(schema_faults(_node_validator(vocabulary), node, place))
        yield from found
        if any(fault.pointer in (f"{place}/type", place) for fault in found):
            continue
        config = node.get("config", {})
        wrong = list(schema_faults(_config_validator(vocabulary, node["type"]), config, f"{place}/config"))
        yield from wrong
        if node["type"] not in GRAPH_TYPES or wrong:
            continue
        if depth >= max_depth:
            yield WorkflowFault(
                "too_deep",
                place,
                translate("Iterations and loops may be nested at most %(limit)s deep.", {"limit": max_depth}),
            )
        else:
            yield from _faults_of_shape(
                config["graph"], f"{place}/config/graph", vocabulary, depth=depth + 1, max_depth=max_depth
            )


def schema_faults(validator: Any, value: Any, pointer: str) -> Iterator[WorkflowFault]:
    """Yield the faults of a value by a JSON Schema, the first of each position; ``pointer`` is that of the value."""
    errors = sorted(validator.iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path])
    faults = [_fault_of(error, pointer) for error in errors]
    # Of several faults of one value the first is reported.
    seen: set[tuple[str, str]] = set()
    for fault in faults:
        if (fault.code, fault.pointer) not in seen:
            seen.add((fault.code, fault.pointer))
            yield fault


def _fault_of(error: ValidationError, pointer: str) -> WorkflowFault:
    place = pointer + "".join(f"/{_escaped(part)}" for part in error.absolute_path)
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return WorkflowFault("input_missing", place, translate("%(names)s is missing.", {"names": ", ".join(missing)}))
    if error.validator == "oneOf" and all("required" in way and len(way) == 1 for way in error.validator_value):
        ways = translate(" or ").join(way["required"][0] for way in error.validator_value)
        return WorkflowFault(
            "input_missing", place, translate("It needs either %(ways)s, and not both.", {"ways": ways})
        )
    if error.validator == "oneOf":
        return WorkflowFault(
            "value_invalid", place, translate("It must be one of {ref: …}, {template: …} and {value: …}.")
        )
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = error.schema.get("properties", {})
        strange = sorted(name for name in error.instance if name not in known)
        return WorkflowFault(
            "unknown_field",
            place,
            translate(
                "There is no %(names)s here; the members are %(known)s.",
                {"names": ", ".join(strange), "known": ", ".join(known)},
            ),
        )
    if error.validator == "enum" and place.endswith("/type") and pointer and "enum" in error.schema:
        return WorkflowFault(
            "unknown_type",
            place,
            translate(
                "%(type)r is not one of %(known)s.", {"type": error.instance, "known": ", ".join(error.validator_value)}
            ),
        )
    return WorkflowFault("value_invalid", place, describe_fault(error)[:300])


def _escaped(part: Any) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


@cache
def _graph_validator() -> Any:
    # Each node is validated by itself, by the schema of its type.
    shape = {**GRAPH, "properties": {**GRAPH["properties"]}}
    shape["properties"]["nodes"] = {**shape["properties"]["nodes"], "items": {"type": "object"}}
    return Draft202012Validator(shape)


@cache
def _node_validator(vocabulary: Vocabulary) -> Any:
    return Draft202012Validator(vocabulary.node)


@cache
def _config_validator(vocabulary: Vocabulary, name: str) -> Any:
    return Draft202012Validator(vocabulary.types[name].schema)
