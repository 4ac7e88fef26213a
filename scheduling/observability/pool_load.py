"""Load of a pool, from which autoscaling decides; the metrics `jobsplatform_pool_…` have the same numbers."""

from __future__ import annotations

from dataclasses import dataclass

from scheduling.observability.measures import read_queue_measures
from tenants.context import all_tenants


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """Load of a pool: predicted slot time of its ready jobs in seconds, and the number of messages in flight."""

    ready_seconds: float
    in_flight: int


def read_pool_load(pool_name: str) -> PoolLoad:
    """Return the load of a pool; zero for a pool without queues or an unknown name."""
    with all_tenants():
        queues = [queue for queue in read_queue_measures() if queue.pool == pool_name]
    return PoolLoad(sum(queue.ready_seconds for queue in queues), sum(queue.messages for queue in queues))
