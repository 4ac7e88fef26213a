"""What undoes the nodes of a run: stored at the safe points before and after their work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from scheduling.compensation.service import Undo
from workloads.workflows.definition.graph import Graph, Node
from workloads.workflows.engine.state import Key, NodeProgress, Status, WaitCause
from workloads.workflows.engine.variables import Reading, TemplateFailedError, VariableMissingError


def undoings(
    graph: Graph,
    changes: Mapping[Key, NodeProgress],
    reading_of: Callable[[Key, Node], Reading],
    refused: Collection[Key],
) -> dict[str, Any]:
    """Return what changed nodes with a compensation add to the store, as arguments of `record_work`.

    A node begins before its work does, so work of an unknown end is known. A node that was refused has had no effect.
    """
    begun: list[Undo] = []
    done: list[Undo] = []
    undone: list[str] = []
    for key, step in changes.items():
        node = graph.nodes[key.node_id]
        # A node whose first version is done was kept from another run, which owns its work.
        if node.compensate is None or (step.status is Status.DONE and step.version == 1):
            continue
        has_failed = step.status is Status.FAILED or (step.status is Status.DONE and step.error is not None)
        if has_failed and key in refused:
            undone.append(str(key))
        elif step.status is Status.RUNNING or step.wait is WaitCause.CHILD:
            begun.append(_undo(key, node, reading_of(key, node)))
        elif step.status is Status.DONE and not has_failed:
            done.append(_undo(key, node, reading_of(key, node)))
    return {"begun": begun, "done": done, "undone": undone}


def _undo(key: Key, node: Node, reading: Reading) -> Undo:
    asked = node.compensate or {}
    try:
        payload: dict[str, Any] | None = {
            name: reading.evaluate(value) for name, value in asked.get("payload", {}).items()
        }
    except (VariableMissingError, TemplateFailedError):
        payload = None
    return Undo(str(key), asked["kind"], payload, asked.get("max_retries"))
