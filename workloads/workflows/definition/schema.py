"""The JSON Schema of workflow definitions, which is published for editors."""

from __future__ import annotations

from typing import Any, Final

from workloads.workflows.definition.config_parts import NAME
from workloads.workflows.definition.node_parts import VALUE, NodeType
from workloads.workflows.definition.node_types import NODE_TYPES, Vocabulary

MAX_NODES: Final = 200
MAX_EDGES: Final = 1_000
# Nesting depth of iterations and loops, whatever the tenant's limit.
MAX_DEPTH: Final = 5
MAX_RETRIES: Final = 5
MAX_TIMEOUT_SECONDS: Final = 600
_EDGE: Final = {
    "type": "object",
    "properties": {"from": NAME, "to": NAME, "case": NAME},
    "required": ["from", "to"],
    "additionalProperties": False,
}
_RETRY: Final = {
    "type": "object",
    "description": "Number of retries after a transient error; each delay is twice the previous one.",
    "properties": {
        "max_retries": {"type": "integer", "minimum": 0, "maximum": MAX_RETRIES},
        "delay_seconds": {"type": "number", "minimum": 0.1, "maximum": 3_600, "default": 5},
    },
    "required": ["max_retries"],
    "additionalProperties": False,
}
_COMPENSATE: Final = {
    "type": "object",
    "description": "The job that undoes the node if the run fails or is cancelled after it; it may read its outputs.",
    "properties": {
        "kind": {"type": "string", "minLength": 1, "maxLength": 64},
        "payload": {"type": "object", "additionalProperties": VALUE, "maxProperties": 50},
        "max_retries": {"type": "integer", "minimum": 0, "maximum": 50},
    },
    "required": ["kind"],
    "additionalProperties": False,
}
NODE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "id": NAME,
        "type": {"enum": list(NODE_TYPES)},
        "title": {"type": "string", "maxLength": 200},
        "config": {"type": "object"},
        "retry": _RETRY,
        "timeout_seconds": {"type": "number", "minimum": 0.1, "maximum": MAX_TIMEOUT_SECONDS},
        "compensate": _COMPENSATE,
        "on_error": {"enum": ["fail", "continue"], "default": "fail"},
    },
    "required": ["id", "type"],
    "additionalProperties": False,
}
GRAPH: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "nodes": {"type": "array", "items": {"$ref": "#/$defs/node"}, "minItems": 1, "maxItems": MAX_NODES},
        "edges": {"type": "array", "items": _EDGE, "maxItems": MAX_EDGES},
    },
    "required": ["nodes"],
    "additionalProperties": False,
}


WORKFLOW: Final = Vocabulary("Workflow", NODE_TYPES, NODE, first="start", last="end")


def definition_schema(vocabulary: Vocabulary = WORKFLOW) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a complete definition."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": vocabulary.title,
        **GRAPH,
        "$defs": {
            "node": {**vocabulary.node, "allOf": [_of_type(kind) for kind in vocabulary.types.values()]},
            "graph": GRAPH,
        },
    }


def _of_type(kind: NodeType) -> dict[str, Any]:
    config = kind.schema
    if kind.has_graph:
        config["properties"]["graph"] = {"$ref": "#/$defs/graph"}
    then: dict[str, Any] = {"properties": {"config": {"title": kind.title, **config}}}
    if kind.required or kind.one_of:
        then["required"] = ["config"]
    return {"if": {"properties": {"type": {"const": kind.name}}, "required": ["type"]}, "then": then}
