"""Nodes of type `template`: they render a text from variables."""

from __future__ import annotations

from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode


def prepare(place: NodeContext) -> PreparedNode:
    """Return the rendering, which is done at once because its output, steps and time are bounded."""
    return PreparedNode(now=lambda: NodeOutput({"text": place.reading.render(place.config["template"])}))
