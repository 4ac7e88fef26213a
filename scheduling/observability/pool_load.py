"""Load of a pool, by which it is scaled: the same numbers as the metrics `jobsplatform_pool_…`."""

from __future__ import annotations

from dataclasses import dataclass

from scheduling.observability.measures import read_queue_measures
from tenants.context import all_tenants


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """Load of a pool: ``ready_seconds`` of predicted slot time wait; ``in_flight`` messages are dispatched."""

    ready_seconds: float
    in_flight: int


def read_pool_load(pool_name: str) -> PoolLoad:
    """Return the load of a pool, zero for an unknown one."""
    with all_tenants():
        queues = [queue for queue in read_queue_measures() if queue.pool == pool_name]
    return PoolLoad(sum(queue.ready_seconds for queue in queues), sum(queue.messages for queue in queues))
