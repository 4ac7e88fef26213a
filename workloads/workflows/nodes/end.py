"""Nodes of type `end`: they evaluate the outputs of the run."""

from __future__ import annotations

from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode


def prepare(place: NodeContext) -> PreparedNode:
    """Return the outputs that the node's config names."""
    outputs = {name: place.reading.evaluate(value) for name, value in place.config.get("outputs", {}).items()}
    return PreparedNode(now=lambda: NodeOutput(outputs))
