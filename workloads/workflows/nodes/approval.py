"""Nodes of type `approval`: they request a decision from people and continue with it, or at the timeout."""

from __future__ import annotations

from workloads.workflows.definition.control_types import DAY_SECONDS
from workloads.workflows.engine.state import WaitCause
from workloads.workflows.nodes.work import NodeContext, PreparedNode, WaitRequest

DEFAULT_SECONDS = 7 * DAY_SECONDS
MAX_TITLE_CHARACTERS = 500
MAX_TEXT_CHARACTERS = 20_000


def prepare(place: NodeContext) -> PreparedNode:
    """Return the request for a decision. Its title and text are rendered now and do not change afterwards."""
    title = place.reading.render(place.config["title"]).strip()[:MAX_TITLE_CHARACTERS] or place.node.id
    text = place.reading.render(place.config["text"])[:MAX_TEXT_CHARACTERS] if "text" in place.config else ""
    seconds = float(place.config.get("timeout_seconds", DEFAULT_SECONDS))
    return PreparedNode(
        inputs={"title": title, "text": text, "timeout_seconds": seconds},
        now=lambda: WaitRequest(WaitCause.DECISION, seconds, title=title, text=text),
    )
