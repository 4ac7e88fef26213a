"""The types of nodes, each with its config, outputs and cases. The code is pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenants.secrets.references import split_references
from workloads.workflows.definition.config_parts import NAME, TEMPLATE
from workloads.workflows.definition.expressions import REFERENCE, Expression, of_value
from workloads.workflows.definition.llm_config import LLM

type Config = Mapping[str, Any]

DAY_SECONDS: Final = 86_400
MAX_WAIT_SECONDS: Final = 90 * DAY_SECONDS
MAX_PARALLEL: Final = 20
ELSE: Final = "else"
OPERATORS: Final = ("eq", "ne", "lt", "le", "gt", "ge", "in", "contains", "exists", "empty")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
VALUE: Final = {
    "type": "object",
    "description": "A reference such as nodes.ask.text, a template, or a literal value.",
    "oneOf": [
        {"properties": {"ref": {"type": "string", "pattern": f"^{REFERENCE}$"}}, "required": ["ref"]},
        {"properties": {"template": TEMPLATE}, "required": ["template"]},
        {"properties": {"value": {}}, "required": ["value"]},
    ],
    "minProperties": 1,
    "maxProperties": 1,
}
_TEST: Final = {
    "type": "object",
    "properties": {
        "ref": {"type": "string", "pattern": f"^{REFERENCE}$"},
        "op": {"enum": list(OPERATORS)},
        "value": {},
    },
    "required": ["ref", "op"],
    "additionalProperties": False,
}
_CASE: Final = {
    "type": "object",
    "properties": {
        "name": NAME,
        "all": {"type": "array", "items": _TEST, "minItems": 1, "maxItems": 20},
        "any": {"type": "array", "items": _TEST, "minItems": 1, "maxItems": 20},
    },
    "required": ["name"],
    "oneOf": [{"required": ["all"]}, {"required": ["any"]}],
    "additionalProperties": False,
}
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


def _nothing(config: Config) -> Iterator[Expression]:
    yield from ()


def _no_cases(config: Config) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeType:
    """One type of node.

    ``outputs`` are the names of what such a node produces; None if its config names them. ``cases(config)`` returns the
    names of its outgoing branches.
    """

    name: str
    title: str
    properties: Mapping[str, Any]
    required: tuple[str, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()
    outputs: tuple[str, ...] | None = ()
    cases: Callable[[Config], tuple[str, ...]] = _no_cases
    must_choose: bool = False
    expressions: Callable[[Config], Iterator[Expression]] = _nothing
    # Defaults of a node: timeout of one attempt, and retries of errors that may pass.
    timeout_seconds: float = 30.0
    max_retries: int = 0

    @property
    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a node's config."""
        schema: dict[str, Any] = {"type": "object", "properties": dict(self.properties), "additionalProperties": False}
        if self.required:
            schema["required"] = list(self.required)
        if self.one_of:
            schema["oneOf"] = [{"required": list(names)} for names in self.one_of]
        return schema


def _templates(config: Config, *names: str) -> Iterator[Expression]:
    for name in names:
        if isinstance(config.get(name), str):
            yield Expression(f"/{name}", "template", config[name])


def _of_end(config: Config) -> Iterator[Expression]:
    for name, value in config.get("outputs", {}).items():
        yield from of_value(f"/outputs/{name}", value)


def _of_http(config: Config) -> Iterator[Expression]:
    yield from _templates(config, "url", "body")
    for name, text in config.get("headers", {}).items():
        place = f"/headers/{name.replace('~', '~0').replace('/', '~1')}"
        # The text between references to secrets is rendered piece by piece.
        yield from (Expression(place, "template", piece) for piece in split_references(text) if isinstance(piece, str))
    yield from of_value("/json", config.get("json"))


def _of_llm(config: Config) -> Iterator[Expression]:
    yield from _templates(config, "prompt", "system")
    for number, message in enumerate(config.get("messages", ())):
        yield Expression(f"/messages/{number}/content", "template", message["content"])


def _of_condition(config: Config) -> Iterator[Expression]:
    for number, case in enumerate(config["cases"]):
        for how in ("all", "any"):
            for place, test in enumerate(case.get(how, ())):
                yield Expression(f"/cases/{number}/{how}/{place}/ref", "reference", test["ref"])


def _cases_of_condition(config: Config) -> tuple[str, ...]:
    return (*(case["name"] for case in config["cases"]), ELSE)


_ALL: Final = (
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
        expressions=_of_end,
    ),
    NodeType(
        name="template",
        title="Text from a template",
        properties={"template": TEMPLATE},
        required=("template",),
        outputs=("text",),
        expressions=lambda config: _templates(config, "template"),
    ),
    NodeType(
        name="http_request",
        title="HTTP request",
        properties={
            "method": {"enum": list(METHODS), "default": "GET"},
            "url": {**TEMPLATE, "maxLength": 8_000},
            "headers": {"type": "object", "additionalProperties": TEMPLATE, "maxProperties": 50},
            "body": TEMPLATE,
            "json": VALUE,
            "redirects": {"type": "integer", "minimum": 0, "maximum": 5, "default": 0},
            "expected_statuses": {
                "type": "array",
                "items": {"type": "integer", "minimum": 100, "maximum": 599},
                "maxItems": 50,
                "description": "By default every status from 200 to 299.",
            },
        },
        required=("url",),
        outputs=("status", "headers", "body", "json", "url"),
        expressions=_of_http,
        max_retries=2,
    ),
    NodeType(
        name="knowledge_retrieval",
        title="Search in a dataset",
        properties={
            "dataset": {**TEMPLATE, "maxLength": 200, "description": "The id of a dataset."},
            "query": {**TEMPLATE, "maxLength": 8_000},
            "top_k": {"type": "integer", "minimum": 1, "maximum": 50, "default": 5},
            "mode": {"enum": ["hybrid", "vector", "text"], "default": "hybrid"},
            "filter": {
                "type": "object",
                "maxProperties": 10,
                "description": "Values of the documents' metadata, as searches take them.",
            },
        },
        required=("dataset", "query"),
        outputs=("results", "text"),
        expressions=lambda config: _templates(config, "dataset", "query"),
        max_retries=2,
    ),
    NodeType(
        name="llm",
        title="Ask a model",
        properties=LLM,
        one_of=(("prompt",), ("messages",)),
        outputs=(
            *("text", "json", "tool_calls", "model", "endpoint", "finish_reason"),
            *("prompt_tokens", "completion_tokens"),
        ),
        expressions=_of_llm,
        timeout_seconds=120.0,
        max_retries=2,
    ),
    NodeType(
        name="condition",
        title="Condition: the first case that is true",
        properties={"cases": {"type": "array", "items": _CASE, "minItems": 1, "maxItems": 20}},
        required=("cases",),
        outputs=("case",),
        cases=_cases_of_condition,
        must_choose=True,
        expressions=_of_condition,
    ),
    NodeType(
        name="iteration",
        title="Iteration: a graph for each item of a list",
        properties={
            "items": VALUE,
            "parallel": {"type": "integer", "minimum": 1, "maximum": MAX_PARALLEL, "default": 1},
            "on_item_error": {"enum": ["fail", "skip"], "default": "fail"},
            # A graph again, validated as one.
            "graph": {"type": "object"},
            "output": VALUE,
        },
        required=("items", "graph", "output"),
        outputs=("results", "count", "failed"),
        expressions=lambda config: of_value("/items", config.get("items")),
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
        expressions=lambda config: _templates(config, "title", "text"),
    ),
)
NODE_TYPES: Final[Mapping[str, NodeType]] = {one.name: one for one in _ALL}
