"""Nodes of type `iteration`: they run a graph for each item of a list."""

from __future__ import annotations

from scheduling.kit.base import PermanentError
from workloads.workflows.nodes.work import NodeContext, OpenedIteration, PreparedNode
from workloads.workflows.tenant_settings import MAX_ITEMS


def prepare(place: NodeContext) -> PreparedNode:
    """Return the items, which are read once and do not change afterwards.

    Raise `PermanentError` if they are not a list, or are more than the tenant's limit.
    """
    items = place.reading.evaluate(place.config["items"])
    if not isinstance(items, list):
        raise PermanentError(f"Its items are not a list but of the type {type(items).__name__}.", code="items_invalid")
    most = place.job.settings[MAX_ITEMS.key]
    if len(items) > most:
        raise PermanentError(f"It has {len(items):,} items; at most {most:,} are allowed.", code="too_many_items")
    return PreparedNode(inputs={"items": len(items)}, now=lambda: OpenedIteration(items))
