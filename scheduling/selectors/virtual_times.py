"""Virtual times by queue, relative to the queue's clock: who is next, and who is how far ahead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from scheduling.fairness.virtual_time import MILLI, UNITS_PER_MICROSECOND
from scheduling.models import Queue
from scheduling.selectors.raw import fetch_rows
from tenants.context import require_scope

# Tenants a queue, those of least virtual time: whoever is farther is not served soon.
TENANT_LIMIT = 10

# The floor keeps the scan clear of dead entries left of the least virtual time.
_NEXT = """
SELECT q.id, c.virtual_time, e.tenant_id, t.slug, t.name, e.vruntime, e.weight_milli,
    e.in_flight + e.keys_in_flight, e.waiting + e.keys_waiting
FROM unnest(%(queues)s::bigint[]) AS q(id) JOIN scheduling_queue_clock c ON c.queue_id = q.id
    CROSS JOIN LATERAL (
        SELECT * FROM scheduling_schedulingentity e
        WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL AND e.vruntime >= c.floor
        ORDER BY e.vruntime, e.in_flight + e.keys_in_flight, e.head_rank, e.id LIMIT %(limit)s
    ) e JOIN tenants_tenant t ON t.id = e.tenant_id
ORDER BY q.id, e.vruntime, e.in_flight + e.keys_in_flight, e.head_rank, e.id
"""


@dataclass(frozen=True, slots=True)
class VirtualTime:
    """An eligible tenant in a queue. ``ahead_us`` is slot time at weight 1, over the queue's own virtual time."""

    tenant_id: UUID
    slug: str
    name: str
    ahead_us: int
    weight: float
    in_flight: int
    waiting: int


@dataclass(frozen=True, slots=True)
class QueueTimes:
    """A queue's eligible tenants of least virtual time; the first one is next."""

    queue: Queue
    tenants: list[VirtualTime]


def read_virtual_times(queues: Sequence[Queue]) -> list[QueueTimes]:
    """The queues in which somebody is eligible; behind the door only, for each sees all others. One statement."""
    if not require_scope().is_all_tenants:
        return []
    found: dict[int, list[VirtualTime]] = defaultdict(list)
    rows = fetch_rows(_NEXT, {"queues": [queue.pk for queue in queues], "limit": TENANT_LIMIT})
    for queue_id, clock, tenant_id, slug, name, vruntime, weight_milli, in_flight, waiting in rows:
        ahead_us = (vruntime - clock) // UNITS_PER_MICROSECOND
        time = VirtualTime(tenant_id, slug, name, ahead_us, weight_milli / MILLI, in_flight, waiting)
        found[queue_id].append(time)
    return [QueueTimes(queue, found[queue.pk]) for queue in queues if queue.pk in found]
