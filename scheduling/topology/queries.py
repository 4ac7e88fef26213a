"""Queries of queues."""

from __future__ import annotations

from scheduling.exceptions import QueueNotFoundError
from scheduling.models import Queue


def get_queue(name: str) -> Queue:
    """Return the queue of this name with its pool; raise QueueNotFoundError if there is none."""
    queue = Queue.objects.select_related("pool", "standing").filter(name=name).first()
    if queue is None:
        raise QueueNotFoundError("There is no queue %(name)r.", {"name": name})
    return queue


def queue_ids() -> dict[str, int]:
    """Return a mapping of the names of all queues to their ids."""
    return dict(Queue.objects.values_list("name", "pk"))
