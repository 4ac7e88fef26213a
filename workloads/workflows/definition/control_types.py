"""The types of nodes that steer a run: its ends, branches, repetitions, pauses and child jobs. The code is pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from workloads.workflows.definition.config_parts import NAME, TEMPLATE
from workloads.workflows.definition.expressions import Expression, of_value
from workloads.workflows.definition.node_parts import (
    CASE,
    CONDITION,
    ELSE,
    VALUE,
    Config,
    NodeType,
    of_condition,
    of_templates,
    of_values,
)

DAY_SECONDS: Final = 86_400
MAX_WAIT_SECONDS: Final = 90 * DAY_SECONDS
MAX_PARALLEL: Final = 20
MAX_ROUNDS: Final = 100
# A graph again, validated as one.
_GRAPH: Final = {"type": "object"}
_VALUES: Final = {"type": "object", "additionalProperties": VALUE, "maxProperties": 50}
INPUT_TYPES: Final = ("string", "number", "integer", "boolean", "array", "object")
_INPUT: Final = {
    "type": "object",
    "properties": {
        "type": {"enum": list(INPUT_TYPES)},
        "title": {"type": "string", "maxLength": 200},
        "required": {"type": "boolean", "default": True},
        "default": {},
    },
    "required": ["type"],
    "additionalProperties": False,
}


def _of_members(name: str, config: Config) -> Iterator[Expression]:
    for member, value in config.get(name, {}).items():
        yield from of_value(f"/{name}/{member.replace('~', '~0').replace('/', '~1')}", value)


def _of_merge(config: Config) -> Iterator[Expression]:
    for number, value in enumerate(config["values"]):
        yield from of_value(f"/values/{number}", value)


def _of_cases(config: Config) -> Iterator[Expression]:
    for number, case in enumerate(config["cases"]):
        yield from of_condition(f"/cases/{number}", case)


def _cases_of_condition(config: Config) -> tuple[str, ...]:
    return (*(case["name"] for case in config["cases"]), ELSE)


CONTROL_TYPES: Final = (
    NodeType(
        name="start",
        title="Start: the inputs of a run",
        properties={
            "inputs": {"type": "object", "propertyNames": NAME, "additionalProperties": _INPUT, "maxProperties": 50}
        },
    ),
    NodeType(
        name="end",
        title="End: the outputs of a run",
        properties={
            "outputs": {"type": "object", "propertyNames": NAME, "additionalProperties": VALUE, "maxProperties": 50}
        },
        expressions=lambda config: _of_members("outputs", config),
    ),
    NodeType(
        name="condition",
        title="Condition: the first case that is true",
        properties={"cases": {"type": "array", "items": CASE, "minItems": 1, "maxItems": 20}},
        required=("cases",),
        outputs=("case",),
        cases=_cases_of_condition,
        must_choose=True,
        expressions=_of_cases,
    ),
    NodeType(
        name="merge",
        title="Merge: the first of several values that exists",
        properties={"values": {"type": "array", "items": VALUE, "minItems": 1, "maxItems": 20}},
        required=("values",),
        outputs=("value",),
        expressions=_of_merge,
    ),
    NodeType(
        name="iteration",
        title="Iteration: a graph for each item of a list",
        properties={
            "items": VALUE,
            "parallel": {"type": "integer", "minimum": 1, "maximum": MAX_PARALLEL, "default": 1},
            "on_item_error": {"enum": ["fail", "skip"], "default": "fail"},
            "graph": _GRAPH,
            "output": VALUE,
        },
        required=("items", "graph", "output"),
        outputs=("results", "count", "failed"),
        expressions=lambda config: of_values(config, "items"),
    ),
    NodeType(
        name="loop",
        title="Loop: a graph that is repeated until a condition holds",
        properties={
            "graph": _GRAPH,
            "until": CONDITION,
            "max_rounds": {"type": "integer", "minimum": 1, "maximum": MAX_ROUNDS, "default": 10},
            "on_max_rounds": {"enum": ["fail", "continue"], "default": "fail"},
            "output": VALUE,
            "initial": {**VALUE, "description": "What previous is in the first round; null by default."},
        },
        required=("graph", "until", "output"),
        outputs=("result", "rounds", "is_done"),
        item="Round",
        expressions=lambda config: of_values(config, "initial"),
    ),
    NodeType(
        name="job",
        title="Job: a child job of any kind",
        properties={"kind": {"type": "string", "minLength": 1, "maxLength": 64}, "payload": _VALUES},
        required=("kind",),
        outputs=("job", "state", "result"),
        expressions=lambda config: _of_members("payload", config),
    ),
    NodeType(
        name="sub_workflow",
        title="Run of another workflow",
        properties={
            "workflow": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "description": "The id or the name of a workflow; the version in effect is run.",
            },
            "inputs": _VALUES,
        },
        required=("workflow",),
        outputs=("job", "state", "outputs"),
        expressions=lambda config: _of_members("inputs", config),
    ),
    NodeType(
        name="delay",
        title="Delay",
        properties={"seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_WAIT_SECONDS}},
        required=("seconds",),
    ),
    NodeType(
        name="approval",
        title="Approval by a person",
        properties={
            "title": {**TEMPLATE, "maxLength": 1_000},
            "text": TEMPLATE,
            "timeout_seconds": {
                "type": "number",
                "minimum": 1,
                "maximum": MAX_WAIT_SECONDS,
                "default": 7 * DAY_SECONDS,
            },
            "on_timeout": {"enum": ["fail", "reject", "approve"], "default": "fail"},
        },
        required=("title",),
        outputs=("decision", "comment", "decided_by", "is_timed_out"),
        cases=lambda config: ("approved", "rejected"),
        expressions=lambda config: of_templates(config, "title", "text"),
    ),
)
