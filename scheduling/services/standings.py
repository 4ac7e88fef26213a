"""How the queues stand: who reads them, and what waits for their pools. Measured once a second by one dispatcher.

A queue that has work, or that rules point at, and that no live worker reads, raises an alarm; it ends by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from psycopg.rows import namedtuple_row

from scheduling.conf import lease_seconds
from scheduling.models import RoutingRule
from scheduling.services.leadership import lead
from tenants.context import all_tenants
from tenants.database.sql import load_sql
from tenants.locks import LockClass
from tenants.prepared import prepared_cursor

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
                "lease": lease_seconds(),
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
