"""Checks that every variable exists when a node reads it. The definition's graph must be valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenants.translation import translate
from workloads.workflows.definition.expressions import (
    ROOTS,
    Expression,
    ExpressionInvalidError,
    Path,
    of_value,
    paths_in,
)
from workloads.workflows.definition.graph_checks import Found
from workloads.workflows.definition.node_parts import of_condition
from workloads.workflows.definition.node_types import Vocabulary

# What the nodes of its graph can read besides inputs and nodes.
_NAMES: Final = {"iteration": frozenset({"item", "index"}), "loop": frozenset({"previous", "index"})}
# Output of every failed node that continues.
ERROR = "error"


@dataclass(frozen=True, slots=True)
class _Scope:
    """A graph, with the enclosing nodes that have ended when it begins."""

    graph: Mapping[str, Any]
    pointer: str
    around: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


def check_variables(definition: Mapping[str, Any], vocabulary: Vocabulary) -> Iterator[Found]:
    """Yield a fault, as (code, pointer, detail), for each expression that reads a variable which may not exist then.

    A variable may not exist if it is undeclared, or the output of a node that may not have ended.
    """
    start = next(node for node in definition["nodes"] if node["type"] == vocabulary.first)
    inputs = frozenset(start.get("config", {}).get("inputs", {}))
    nodes: dict[str, Mapping[str, Any]] = {}
    scopes = [_Scope(definition, "")]
    for scope in scopes:
        nodes |= {node["id"]: node for node in scope.graph["nodes"]}
        before = upstream_of(scope.graph)
        for number, node in enumerate(scope.graph["nodes"]):
            if vocabulary.types[node["type"]].has_graph:
                inner = f"{scope.pointer}/nodes/{number}/config/graph"
                around = scope.around | before[node["id"]]
                scopes.append(_Scope(node["config"]["graph"], inner, around, _NAMES[node["type"]]))
    for scope in scopes:
        yield from _check_scope(scope, nodes, inputs, vocabulary)


def _check_scope(
    scope: _Scope, nodes: Mapping[str, Mapping[str, Any]], inputs: frozenset[str], vocabulary: Vocabulary
) -> Iterator[Found]:
    before = upstream_of(scope.graph)
    for number, node in enumerate(scope.graph["nodes"]):
        place = f"{scope.pointer}/nodes/{number}/config"
        config = node.get("config", {})
        readable = scope.around | before[node["id"]]
        reader = _Reader(vocabulary, nodes, inputs, readable, scope.names)
        for expression in vocabulary.types[node["type"]].expressions(config):
            yield from reader.check(expression, place)
        reader = _Reader(vocabulary, nodes, inputs, readable | {node["id"]}, scope.names)
        for name, value in node.get("compensate", {}).get("payload", {}).items():
            for expression in of_value(f"/compensate/payload/{name}", value):
                yield from reader.check(expression, place.removesuffix("/config"))
        if vocabulary.types[node["type"]].has_graph:
            inside = frozenset(inner["id"] for inner in config["graph"]["nodes"])
            reader = _Reader(vocabulary, nodes, inputs, readable | inside, _NAMES[node["type"]])
            for expression in (
                *of_value("/output", config["output"]),
                *of_condition("/until", config.get("until", {})),
            ):
                yield from reader.check(expression, place)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checker of the variables that can be read at one place of a definition."""

    vocabulary: Vocabulary
    nodes: Mapping[str, Mapping[str, Any]]
    inputs: frozenset[str]
    readable: frozenset[str]
    names: frozenset[str]

    def check(self, expression: Expression, place: str) -> Iterator[Found]:
        where = f"{place}{expression.pointer}"
        try:
            paths = paths_in(expression)
        except ExpressionInvalidError as error:
            yield f"{expression.kind}_invalid", where, str(error)
            return
        for path in dict.fromkeys(paths):
            fault = self._fault_of(path)
            if fault is not None:
                yield fault[0], where, fault[1]

    def _fault_of(self, path: Path) -> tuple[str, str] | None:
        shown = ".".join(path)
        match path:
            case ("inputs", name, *_) if name not in self.inputs:
                return "unknown_variable", translate(
                    "%(path)s: start declares no input %(name)r.", {"path": shown, "name": name}
                )
            case ("nodes", *names):
                return self._fault_of_node(shown, *names[:2])
            case ("item" | "index" | "previous" as name, *_) if name not in self.names:
                return "unknown_variable", translate(
                    "%(path)s: only nodes of an iteration have item and index, and nodes of a loop previous and index.",
                    {"path": shown},
                )
        if path[0] not in ROOTS:
            return "unknown_variable", translate(
                "%(path)s: a reference begins with inputs, nodes, item, index or previous.",
                {"path": shown},
            )
        return None

    def _fault_of_node(self, shown: str, name: str = "", output: str | None = None) -> tuple[str, str] | None:
        if not name:
            return "unknown_variable", translate("nodes must be followed by a node, such as nodes.ask.text.")
        if name not in self.nodes:
            return "unknown_variable", translate("%(path)s: there is no node %(name)r.", {"path": shown, "name": name})
        if name not in self.readable:
            return "variable_not_upstream", translate(
                "%(path)s: %(name)r may not have ended when this is read.", {"path": shown, "name": name}
            )
        if output is not None and output not in self._outputs_of(name):
            return "unknown_variable", translate(
                "%(path)s: %(name)r has no output %(output)r.", {"path": shown, "name": name, "output": output}
            )
        return None

    def _outputs_of(self, name: str) -> tuple[str, ...]:
        node = self.nodes[name]
        outputs = self.vocabulary.types[node["type"]].outputs or ()
        if node["type"] == "start":
            return (*self.inputs,)
        return (*outputs, ERROR) if node.get("on_error") == "continue" else outputs


def upstream_of(graph: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return for each node of a graph without cycles all nodes from which a path leads to it."""
    before: dict[str, list[str]] = {node["id"]: [] for node in graph["nodes"]}
    for edge in graph.get("edges", ()):
        before[edge["to"]].append(edge["from"])
    found: dict[str, frozenset[str]] = {}

    def collect(name: str) -> frozenset[str]:
        if name not in found:
            direct = before[name]
            found[name] = frozenset(direct).union(*(collect(source) for source in direct))
        return found[name]

    return {name: collect(name) for name in before}
