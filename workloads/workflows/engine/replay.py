"""What a replay of a run keeps: the outputs of nodes that are not downstream of the chosen one. The code is pure."""

from __future__ import annotations

from collections.abc import Mapping

from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.state import NodeProgress, Status, Stored
from workloads.workflows.records.records import RecordState


def find_kept(graph: Graph, former: Graph, states: Mapping[str, str], chosen: str) -> list[str]:
    """Return the ids of the nodes that a replay from a node keeps; it runs all others again.

    They have succeeded in a run of the graph ``former`` with these ``states``, and neither they nor a node before them
    is the chosen one, differs between the two graphs, or had not ended. Nodes inside iterations belong to these.
    """
    kept: list[str] = []
    settled: set[str] = set()
    # Sorted topologically: the sources of a node come before it.
    for node in graph.scopes[None]:
        edges = graph.incoming[node.id]
        is_same = node.type == "start" or (node == former.nodes.get(node.id) and edges == former.incoming[node.id])
        has_ended = states.get(node.id) in (RecordState.SUCCEEDED, RecordState.SKIPPED)
        if node.id == chosen or not (is_same and has_ended and settled.issuperset(edge.source for edge in edges)):
            continue
        settled.add(node.id)
        if states[node.id] == RecordState.SUCCEEDED:
            kept.append(node.id)
    return kept


def undoable_nodes(graph: Graph, names: list[str]) -> list[str]:
    """Return those of the nodes whose work, or that of a node inside them, a compensation undoes."""

    def is_undoable(name: str) -> bool:
        return graph.nodes[name].compensate is not None or any(
            is_undoable(inner.id) for inner in graph.scopes.get(name, ())
        )

    return [name for name in names if is_undoable(name)]


def kept_progress(
    graph: Graph, name: str, outputs: Mapping[str, object], stored: Stored, error: tuple[str, str] | None
) -> NodeProgress:
    """Return the state of a kept node with its outputs; after ``error`` the run continued."""
    node = graph.nodes[name]
    # The first output of a type with cases is the case.
    case = outputs.get(node.kind.outputs[0]) if node.kind.cases(node.config) and node.kind.outputs else None
    return NodeProgress(Status.DONE, case=case if isinstance(case, str) else None, outputs=stored, error=error)
