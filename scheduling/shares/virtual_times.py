"""Virtual times of the tenants in each queue: which is next, and how far each is ahead of the queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from scheduling.fairness.nodes import MILLI, UNITS_PER_MICROSECOND
from scheduling.models import Queue
from scheduling.shares.raw import fetch_rows
from tenants.context import require_scope
from tenants.database.sql import load_sql

# The tenants shown of a queue, those of least virtual time: others are not served soon.
TENANT_LIMIT = 10

_NEXT = load_sql(__file__)["find_next"]


@dataclass(frozen=True, slots=True)
class VirtualTime:
    """Virtual time of an eligible tenant in a queue.

    ``ahead_us`` is how far it is above the queue's virtual time, in microseconds of slot time at weight 1.
    """

    tenant_id: UUID
    slug: str
    name: str
    ahead_us: int
    weight: float
    in_flight: int
    waiting: int


@dataclass(frozen=True, slots=True)
class QueueTimes:
    """A queue with its eligible tenants in the order of their virtual times; the first is served next."""

    queue: Queue
    tenants: list[VirtualTime]


def read_virtual_times(queues: Sequence[Queue]) -> list[QueueTimes]:
    """Return the queues that have eligible tenants, in one query; an empty list in the context of one tenant."""
    if not require_scope().is_all_tenants:
        return []
    found: dict[int, list[VirtualTime]] = defaultdict(list)
    rows = fetch_rows(_NEXT, {"queues": [queue.pk for queue in queues], "limit": TENANT_LIMIT})
    for row in rows:
        ahead_us = (row.vruntime - row.virtual_time) // UNITS_PER_MICROSECOND
        weight = row.weight_milli / MILLI
        time = VirtualTime(row.tenant_id, row.slug, row.name, ahead_us, weight, row.in_flight, row.waiting)
        found[row.queue_id].append(time)
    return [QueueTimes(queue, found[queue.pk]) for queue in queues if queue.pk in found]
