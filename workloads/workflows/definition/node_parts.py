"""A type of nodes, and the parts of configs that several types share. The code is pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from workloads.workflows.definition.config_parts import NAME, TEMPLATE
from workloads.workflows.definition.expressions import REFERENCE, Expression, of_value

type Config = Mapping[str, Any]

ELSE: Final = "else"
OPERATORS: Final = ("eq", "ne", "lt", "le", "gt", "ge", "in", "contains", "exists", "empty")
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
_TESTS: Final = {"type": "array", "items": _TEST, "minItems": 1, "maxItems": 20}
CONDITION: Final[Config] = {
    "type": "object",
    "properties": {"all": _TESTS, "any": _TESTS},
    "oneOf": [{"required": ["all"]}, {"required": ["any"]}],
    "additionalProperties": False,
}
CASE: Final[Config] = {
    **CONDITION,
    "properties": {"name": NAME, **CONDITION["properties"]},
    "required": ["name"],
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
    # What a message calls one pass of its graph.
    item: str = "Item"
    # Defaults of a node: timeout of one attempt, and retries of errors that may pass.
    timeout_seconds: float = 30.0
    max_retries: int = 0

    @property
    def has_graph(self) -> bool:
        """Return whether the config of such a node contains a graph, which the node runs several times."""
        return "graph" in self.properties

    @property
    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a node's config."""
        schema: dict[str, Any] = {"type": "object", "properties": dict(self.properties), "additionalProperties": False}
        if self.required:
            schema["required"] = list(self.required)
        if self.one_of:
            schema["oneOf"] = [{"required": list(names)} for names in self.one_of]
        return schema


def of_templates(config: Config, *names: str) -> Iterator[Expression]:
    """Yield the expressions of the members of a config that are templates."""
    for name in names:
        if isinstance(config.get(name), str):
            yield Expression(f"/{name}", "template", config[name])


def of_values(config: Config, *names: str) -> Iterator[Expression]:
    """Yield the expressions of the members of a config that are values."""
    for name in names:
        yield from of_value(f"/{name}", config.get(name))


def of_condition(pointer: str, condition: Config) -> Iterator[Expression]:
    """Yield the references of the tests of a condition."""
    for how in ("all", "any"):
        for place, test in enumerate(condition.get(how, ())):
            yield Expression(f"{pointer}/{how}/{place}/ref", "reference", test["ref"])
