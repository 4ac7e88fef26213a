"""`condition`: chooses the first case that holds."""

from __future__ import annotations

from workloads.workflows.engine.conditions import choose_case
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode


def prepare(place: NodeContext) -> PreparedNode:
    """Prepare the choice; the chosen case is the branch, and an output."""

    def choose() -> NodeOutput:
        case = choose_case(place.config, place.reading)
        return NodeOutput({"case": case}, case=case)

    return PreparedNode(now=choose)
