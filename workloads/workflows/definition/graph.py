"""The graph of a valid definition, in the form that the engine walks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any

from workloads.workflows.definition.node_parts import NodeType
from workloads.workflows.definition.node_types import GRAPH_TYPES, NODE_TYPES

DEFAULT_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge from one node to another.

    It is followed only in the case ``case`` of its source, or always if that is None.
    """

    source: str
    target: str
    case: str | None = None


@dataclass(frozen=True)
class Node:
    """One node of a workflow; ``parent`` is the id of the iteration or loop whose graph contains it, or None."""

    id: str
    type: str
    title: str
    config: Mapping[str, Any]
    parent: str | None
    max_retries: int
    retry_seconds: float
    timeout_seconds: float
    goes_on_after_error: bool
    compensate: Mapping[str, Any] | None = None

    @property
    def kind(self) -> NodeType:
        """Return the type of the node."""
        return NODE_TYPES[self.type]

    @classmethod
    def read(cls, content: Mapping[str, Any], parent: str | None, types: Mapping[str, NodeType] = NODE_TYPES) -> Node:
        """Return the node that a part of a definition describes."""
        kind, retry = types[content["type"]], content.get("retry", {})
        return cls(
            id=content["id"],
            type=content["type"],
            title=content.get("title", ""),
            config=content.get("config", {}),
            parent=parent,
            max_retries=retry.get("max_retries", kind.max_retries),
            retry_seconds=retry.get("delay_seconds", DEFAULT_RETRY_SECONDS),
            timeout_seconds=content.get("timeout_seconds", kind.timeout_seconds),
            goes_on_after_error=content.get("on_error") == "continue",
            compensate=content.get("compensate"),
        )


class Graph:
    """All nodes of a workflow by id, with their edges, including the nodes inside iterations and loops."""

    def __init__(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        self.nodes: Mapping[str, Node] = {node.id: node for node in nodes}
        self.edges = tuple(edges)
        self.incoming: dict[str, list[Edge]] = {node.id: [] for node in nodes}
        for edge in edges:
            self.incoming[edge.target].append(edge)
        # The nodes of a scope are sorted topologically: one pass finds all that are ready.
        self.scopes: dict[str | None, list[Node]] = {}
        before = {node.id: [edge.source for edge in self.incoming[node.id]] for node in nodes}
        for node_id in TopologicalSorter(before).static_order():
            self.scopes.setdefault(self.nodes[node_id].parent, []).append(self.nodes[node_id])

    @classmethod
    def read(cls, definition: Mapping[str, Any], types: Mapping[str, NodeType] = NODE_TYPES) -> Graph:
        """Return the graph of a valid definition."""
        nodes: list[Node] = []
        edges: list[Edge] = []
        for graph, parent in graphs_in(definition):
            nodes.extend(Node.read(content, parent, types) for content in graph["nodes"])
            edges.extend(Edge(edge["from"], edge["to"], edge.get("case")) for edge in graph.get("edges", ()))
        return cls(nodes, edges)

    @cached_property
    def inputs(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the inputs that the start node declares, by name."""
        start = next(node for node in self.scopes[None] if node.type == "start")
        declared: Mapping[str, Mapping[str, Any]] = start.config.get("inputs", {})
        return declared

    def describe(self) -> dict[str, Any]:
        """Return the nodes and edges as dicts, as the pages of a run draw them."""
        nodes = [
            {
                "id": node.id,
                "type": node.type,
                "title": node.title or node.id,
                **({"parent": node.parent} if node.parent else {}),
            }
            for node in self.nodes.values()
        ]
        edges = [
            {"source": edge.source, "target": edge.target, **({"label": edge.case} if edge.case else {})}
            for edge in self.edges
        ]
        return {"nodes": nodes, "edges": edges}


def graphs_in(definition: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    """Yield the definition's own graph with None, then the graph of each iteration and loop with its id."""
    pending: list[tuple[Mapping[str, Any], str | None]] = [(definition, None)]
    while pending:
        graph, parent = pending.pop(0)
        yield graph, parent
        pending.extend((node["config"]["graph"], node["id"]) for node in graph["nodes"] if node["type"] in GRAPH_TYPES)
