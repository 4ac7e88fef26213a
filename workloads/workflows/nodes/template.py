"""`template`: a text made of variables."""

from __future__ import annotations

from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode


def prepare(place: NodeContext) -> PreparedNode:
    """Prepare the rendering, which is done at once: its output, steps and time are bounded."""
    return PreparedNode(now=lambda: NodeOutput({"text": place.reading.render(place.config["template"])}))
