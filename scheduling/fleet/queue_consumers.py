"""Load of the queues, measured once a second: slots of their live consumers, and waiting work."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scheduling.dispatch.leadership import try_to_lead
from scheduling.fairness.balance import QueueLoad
from scheduling.models import Queue, QueueStanding, RoutingRule
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

# A process reads the few rows at most once in this time, regardless of its submissions.
CACHED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class QueueLoads:
    """Load of each queue by id, and the work in microseconds that this process has sent to it since."""

    by_queue: Mapping[int, QueueLoad]
    read_at: float = field(default_factory=time.monotonic)
    sent_us: dict[int, int] = field(default_factory=dict)


_cached: QueueLoads | None = None


def read_loads() -> QueueLoads:
    """Return the last measured loads, from a cache of this process that is at most CACHED_SECONDS old."""
    global _cached  # noqa: PLW0603 - a cache of this process
    if _cached is None or time.monotonic() - _cached.read_at > CACHED_SECONDS:
        rows = QueueStanding.objects.values_list("queue_id", "work_us", "slots")
        _cached = QueueLoads({queue_id: QueueLoad(work_us, slots) for queue_id, work_us, slots in rows})
    return _cached


def clear_loads() -> None:
    """Clear this process's cache of loads."""
    global _cached  # noqa: PLW0603
    _cached = None


def unread_since(queue: Queue) -> datetime | None:
    """Return since when a queue with work or routing rules has had no live consumer, or None if it has one."""
    standing = getattr(queue, "standing", None)
    return None if standing is None else standing.unread_since


def queues_without_consumer() -> list[QueueStanding]:
    """Return the queues that have work or routing rules but no live consumer, those without one for longest first."""
    rows = QueueStanding.objects.filter(unread_since__isnull=False).select_related("queue__pool")
    return list(rows.order_by("unread_since", "queue__name"))


logger = logging.getLogger(__name__)

# The sum reads all runnable lines, so it pauses for this many times its duration: it takes at most a tenth of a
# connection. Up to some hundred thousand waiting tenants it still runs each second.
REST = 10

_MEASURE = load_sql(__file__)["measure_queues"]


class QueueMeasurer:
    """Duty of a dispatcher that measures the load of queues; summing waiting work takes a bounded part of its time."""

    def __init__(self) -> None:
        self._sums_again_at = 0.0

    def take_turn(self) -> None:
        """Measure the queues; also sum their waiting work if enough time has passed since the last sum."""
        began = time.monotonic()
        sums_work = began >= self._sums_again_at
        measure_queues(sums_work=sums_work)
        if sums_work:
            ended = time.monotonic()
            self._sums_again_at = ended + REST * (ended - began)


def measure_queues(*, sums_work: bool = True) -> Mapping[str, bool]:
    """Measure all queues, unless another dispatcher does so now.

    Return the queues whose alarm "no consumer" has changed, True if it is on now. Without ``sums_work`` the last sums
    of waiting work are kept.
    """
    changed: dict[str, bool] = {}
    with all_tenants():
        if try_to_lead(LockClass.STANDINGS):
            weighs_work = (
                RoutingRule.objects.filter(is_active=True).exclude(balance__in=RoutingRule.NOT_BY_WORK).exists()
            )
            values = {
                "lease": platform_settings.LEASE_SECONDS,
                "sums_work": weighs_work and sums_work,
                "keeps_work": weighs_work and not sums_work,
            }
            changed = {row.name: row.is_on for row in fetch_all(_MEASURE, values)}
    for name, is_on in changed.items():
        if is_on:
            logger.warning("queue.without_consumer", extra={"queue": name})
        else:
            logger.info("queue.consumer_back", extra={"queue": name})
    return changed
