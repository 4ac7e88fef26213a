"""Nodes of type `condition`: they choose the first case that is true."""

from __future__ import annotations

from workloads.workflows.engine.conditions import choose_case
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode


def prepare(place: NodeContext) -> PreparedNode:
    """Return the work that chooses the case. The case decides which edges are followed, and is also an output."""

    def choose() -> NodeOutput:
        case = choose_case(place.config, place.reading)
        return NodeOutput({"case": case}, case=case)

    return PreparedNode(now=choose)
