"""Nodes of type `loop`: they repeat a graph until a condition holds."""

from __future__ import annotations

from workloads.workflows.nodes.work import NodeContext, OpenedLoop, PreparedNode

DEFAULT_ROUNDS = 10


def prepare(place: NodeContext) -> PreparedNode:
    """Return the loop with what its first round reads as the previous output, which is null by default."""
    initial = place.reading.evaluate(place.config["initial"]) if "initial" in place.config else None
    rounds = place.config.get("max_rounds", DEFAULT_ROUNDS)
    return PreparedNode(inputs={"initial": initial, "max_rounds": rounds}, now=lambda: OpenedLoop(initial, rounds))
