"""Nodes of type `start`: they return the inputs of the run."""

from __future__ import annotations

from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode


def prepare(place: NodeContext) -> PreparedNode:
    """Return the run's inputs, which were validated when the run was submitted."""
    return PreparedNode(now=lambda: NodeOutput(place.inputs))
