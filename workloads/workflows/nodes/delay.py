"""Nodes of type `delay`: they continue after some time. The run occupies no slot meanwhile."""

from __future__ import annotations

from workloads.workflows.engine.state import WaitCause
from workloads.workflows.nodes.work import NodeContext, PreparedNode, WaitRequest


def prepare(place: NodeContext) -> PreparedNode:
    """Return the request to wait for the configured time."""
    seconds = float(place.config["seconds"])
    return PreparedNode(inputs={"seconds": seconds}, now=lambda: WaitRequest(WaitCause.TIME, seconds))
