"""`delay`: continues after some time; the run's slot is free meanwhile."""

from __future__ import annotations

from workloads.workflows.engine.state import WaitCause
from workloads.workflows.nodes.work import NodeContext, PreparedNode, WaitRequest


def prepare(place: NodeContext) -> PreparedNode:
    """Prepare the time to wait."""
    seconds = float(place.config["seconds"])
    return PreparedNode(inputs={"seconds": seconds}, now=lambda: WaitRequest(WaitCause.TIME, seconds))
