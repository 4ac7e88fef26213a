"""Weights that decide the tenants' entitlements."""

from __future__ import annotations

from collections.abc import Iterable

from scheduling.models import CFSPlan, Queue


def effective_weights(queues: Iterable[Queue], plan: CFSPlan | None) -> dict[int, int]:
    """Return each queue's weight by id: that of the active plan or, if it has none, the queue's own."""
    by_plan: dict[int, int] = {}
    for row in plan.tiers.all() if plan else ():
        for queue_id in filter(None, (row.queue_id, row.io_queue_id)):
            by_plan[queue_id] = max(row.weight, by_plan.get(queue_id, 0))
    return {queue.id: by_plan.get(queue.id, queue.weight) for queue in queues}
