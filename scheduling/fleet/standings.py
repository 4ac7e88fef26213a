"""State of queues, measured once a second: who reads them and what waits for their pools."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from psycopg.rows import namedtuple_row

from scheduling.dispatch.leadership import lead
from scheduling.fairness.balance import Load
from scheduling.models import Queue, QueueStanding, RoutingRule
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import prepared_cursor
from tenants.database.sql import load_sql

# A process reads the few rows at most once in this time, whatever it submits.
CACHED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Loads:
    """The loads by queue, and what this process has sent to each since it read them."""

    by_queue: Mapping[int, Load]
    read_at: float = field(default_factory=time.monotonic)
    sent_us: dict[int, int] = field(default_factory=dict)


_cached: Loads | None = None


def read_loads() -> Loads:
    """The loads, at most CACHED_SECONDS old beside the second between two measurements."""
    global _cached  # noqa: PLW0603 - a cache of this process
    if _cached is None or time.monotonic() - _cached.read_at > CACHED_SECONDS:
        rows = QueueStanding.objects.values_list("queue_id", "work_us", "slots")
        _cached = Loads({queue_id: Load(work_us, slots) for queue_id, work_us, slots in rows})
    return _cached


def forget_loads() -> None:
    """Read anew next time."""
    global _cached  # noqa: PLW0603
    _cached = None


def unread_since(queue: Queue) -> datetime | None:
    """Since when no live worker reads a queue that has work, or rules that point at it; None while one does."""
    standing = getattr(queue, "standing", None)
    return None if standing is None else standing.unread_since


def queues_without_consumer() -> list[QueueStanding]:
    """The queues whose alarm is on, the longest first."""
    rows = QueueStanding.objects.filter(unread_since__isnull=False).select_related("queue__pool")
    return list(rows.order_by("unread_since", "queue__name"))


logger = logging.getLogger(__name__)

# The sum reads all that may be picked, so it rests for so many times as long as it took: it never takes more than a
# tenth of a connection. Up to some hundred thousand waiting tenants it is made each second all the same.
REST = 10

_MEASURE = load_sql(__file__)["measure_queues"]


class QueueMeasurer:
    """The duty of a dispatcher: measure, and sum up what waits no more often than that is worth."""

    def __init__(self) -> None:
        self._sums_again_at = 0.0

    def take_turn(self) -> None:
        """A measurement, with a sum of the work if its time has come."""
        began = time.monotonic()
        sums_work = began >= self._sums_again_at
        measure_queues(sums_work=sums_work)
        if sums_work:
            ended = time.monotonic()
            self._sums_again_at = ended + REST * (ended - began)


def measure_queues(*, sums_work: bool = True) -> Mapping[str, bool]:
    """Measure all queues; which alarms have changed, and whether they are on. Of many dispatchers one measures.

    Unless it ``sums_work``, what waits stays as it was last summed.
    """
    changed: dict[str, bool] = {}
    with all_tenants():
        if lead(LockClass.STANDINGS):
            weighs_work = RoutingRule.objects.filter(is_active=True, balance=RoutingRule.Balance.LEAST_LOADED).exists()
            values = {
                "lease": platform_settings.LEASE_SECONDS,
                "sums_work": weighs_work and sums_work,
                "keeps_work": weighs_work and not sums_work,
            }
            with prepared_cursor(namedtuple_row) as cursor:
                cursor.execute(_MEASURE, values)
                changed = {row.name: row.is_on for row in cursor.fetchall()}
    for name, is_on in changed.items():
        if is_on:
            logger.warning("queue.without_consumer", extra={"queue": name})
        else:
            logger.info("queue.consumer_back", extra={"queue": name})
    return changed
