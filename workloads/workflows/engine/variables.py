"""The variables that a node can read: the run's inputs, the outputs of earlier nodes, and the current item or round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from workloads.workflows.definition.expressions import Expression, Path, paths_in
from workloads.workflows.definition.graph import Graph
from workloads.workflows.definition.template_budget import TemplateFailedError, VariableMissingError
from workloads.workflows.definition.templates import render_template
from workloads.workflows.engine.state import Indexes, Key, Status, Stored, WorkflowRunProgress

type Load = Callable[[Stored], Any]
type Variables = Mapping[str, Any]


class Reading:
    """The variables that can be read at one position in a run. Values are loaded only when they are read."""

    def __init__(
        self, graph: Graph, state: WorkflowRunProgress, load: Load, *, path: Indexes, parent: str | None
    ) -> None:
        self._graph = graph
        self._state = state
        self._load = load
        self._path = path
        self._parent = parent

    def variables(self, expressions: Iterable[Expression]) -> Variables:
        """Return the variables that the expressions read, as nested dicts."""
        found: dict[str, Any] = {}
        for expression in expressions:
            for path in _paths_of(expression):
                self._add(path, found)
        return found

    def render(self, source: str) -> str:
        """Return the text of a template rendered with the variables at this position.

        Raise `VariableMissingError`, with the whole path of the variable, if one does not exist.
        """
        expression = Expression("", "template", source)
        variables = self.variables([expression])
        try:
            return render_template(source, variables)
        except VariableMissingError as error:
            for path in _paths_of(expression):
                _require(path, variables, said=str(error))
            raise

    def look_up(self, reference: str) -> Any:
        """Return the value of a reference; raise `VariableMissingError` if it does not exist."""
        return walk_path(tuple(reference.split(".")), self.variables([Expression("", "reference", reference)]))

    def evaluate(self, value: Mapping[str, Any]) -> Any:
        """Return the value of a config value ``{"ref": …}``, ``{"template": …}`` or ``{"value": …}``."""
        if "ref" in value:
            return self.look_up(value["ref"])
        if "template" in value:
            return self.render(value["template"])
        return value["value"]

    def _add(self, path: Path, found: dict[str, Any]) -> None:
        match path:
            case ("inputs", *_):
                found.setdefault("inputs", self._load(self._state.inputs))
            case ("nodes", node_id, *_):
                nodes = found.setdefault("nodes", {})
                step = self._state.steps.get(self._key_of(node_id))
                if node_id not in nodes and step is not None and step.status is Status.DONE:
                    nodes[node_id] = self._load(step.outputs)
            case ("item", *_) if self._parent is not None and "item" not in found:
                around = self._state.steps[Key(self._parent, self._path[:-1])]
                found["item"] = self._load(around.outputs)[self._path[-1]]
            case ("previous", *_) if self._parent is not None and "previous" not in found:
                around, index = self._state.steps[Key(self._parent, self._path[:-1])], self._path[-1]
                found["previous"] = (
                    self._load(around.items[index - 1])["output"] if index else self._load(around.outputs)
                )
            case ("index", *_) if self._path:
                found["index"] = self._path[-1]

    def _key_of(self, node_id: str) -> Key:
        depth, parent = 0, self._graph.nodes[node_id].parent
        while parent is not None:
            depth, parent = depth + 1, self._graph.nodes[parent].parent
        return Key(node_id, self._path[:depth])


def walk_path(path: Path, value: Any) -> Any:
    """Return the value at a path below a value; raise `VariableMissingError` if it does not exist."""
    for name in path:
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError, ValueError):
            raise VariableMissingError(f"{'.'.join(path)} does not exist: the path ends before {name!r}.") from None
    return value


def _require(path: Path, variables: Variables, *, said: str) -> None:
    """Raise `VariableMissingError` if a path ends before a name that the message of a template names."""
    try:
        walk_path(path, variables)
    except VariableMissingError as error:
        if any(name in said and f"before {name!r}" in str(error) for name in path):
            raise


@lru_cache(maxsize=1_024)
def _paths_of(expression: Expression) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(paths_in(expression)))


__all__ = ["Load", "Reading", "TemplateFailedError", "VariableMissingError", "Variables", "walk_path"]
