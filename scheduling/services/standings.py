"""How the queues stand: who reads them, and what waits for their pools. Measured once a second by one dispatcher.

A queue that has work, or that rules point at, and that no live worker reads, raises an alarm; it ends by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from django.db import connection

from scheduling.conf import lease_seconds
from scheduling.models import RoutingRule
from scheduling.services.leadership import lead
from tenants.context import all_tenants
from tenants.locks import LockClass

logger = logging.getLogger(__name__)

# The sum reads all that may be picked, so it rests for so many times as long as it took: it never takes more than a
# tenth of a connection. Up to some hundred thousand waiting tenants it is made each second all the same.
REST = 10

_MEASURE = """
WITH live AS (
    SELECT pool_id, slots, queues FROM scheduling_worker
    WHERE status = 'online' AND heartbeat_at > now() - make_interval(secs => %(lease)s)
), pointed_at AS (
    SELECT queue_id FROM scheduling_routingrule WHERE is_active AND queue_id IS NOT NULL
    UNION SELECT g.queue_id FROM scheduling_routing_target g JOIN scheduling_routingrule r ON r.id = g.rule_id
        WHERE r.is_active AND r.balance <> ''
    UNION SELECT i.queue_id FROM scheduling_cfsplantier i JOIN scheduling_cfsplan c ON c.id = i.plan_id
        WHERE c.is_active AND EXISTS (SELECT FROM scheduling_routingrule WHERE is_active AND by_tier)
), work AS (
    -- Only where a rule asks for it: over what may be picked, so that idle tenants cost nothing.
    SELECT q.pool_id, sum(e.waiting::bigint * e.estimate_us)::bigint AS work_us
    FROM scheduling_schedulingentity e JOIN scheduling_queue q ON q.id = e.queue_id
    WHERE e.is_runnable AND %(sums_work)s GROUP BY 1
), measured AS (
    SELECT q.id AS queue_id, q.name,
        coalesce(CASE WHEN %(keeps_work)s THEN b.work_us ELSE w.work_us END, 0) AS work_us,
        coalesce((SELECT sum(l.slots) FROM live l
                  WHERE l.pool_id = q.pool_id AND jsonb_exists(l.queues, q.name)), 0) AS slots,
        q.id IN (SELECT queue_id FROM pointed_at) OR EXISTS (
            SELECT FROM scheduling_schedulingentity e
            WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL) AS is_needed
    FROM scheduling_queue q LEFT JOIN work w ON w.pool_id = q.pool_id
        LEFT JOIN scheduling_queue_standing b ON b.queue_id = q.id
), before AS (
    SELECT queue_id, unread_since FROM scheduling_queue_standing
), written AS (
    INSERT INTO scheduling_queue_standing AS s (queue_id, work_us, slots, unread_since)
    SELECT queue_id, work_us, slots, CASE WHEN slots = 0 AND is_needed THEN now() END FROM measured
    ON CONFLICT (queue_id) DO UPDATE SET work_us = excluded.work_us, slots = excluded.slots,
        unread_since = CASE WHEN excluded.unread_since IS NOT NULL
            THEN coalesce(s.unread_since, excluded.unread_since) END
    WHERE (s.work_us, s.slots, s.unread_since IS NULL)
        IS DISTINCT FROM (excluded.work_us, excluded.slots, excluded.unread_since IS NULL)
    RETURNING queue_id, unread_since
)
SELECT m.name, w.unread_since IS NOT NULL FROM written w JOIN measured m USING (queue_id)
    LEFT JOIN before b USING (queue_id)
WHERE (w.unread_since IS NULL) IS DISTINCT FROM (b.unread_since IS NULL)
"""


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
            with connection.cursor() as cursor:
                cursor.execute(_MEASURE, values)
                changed = dict(cursor.fetchall())
    for name, is_on in changed.items():
        if is_on:
            logger.warning("queue.without_consumer", extra={"queue": name})
        else:
            logger.info("queue.consumer_back", extra={"queue": name})
    return changed
