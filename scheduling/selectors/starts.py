"""Whether jobs start: pools in which jobs wait and none begins for a while, beside free slots or without a worker.

What a job waits for by rule is no stall: a tenant that is suspended, paused, at its cap or without worker time is not
counted, and a queue or pool that is paused, drained, at its cap or behind its rate is passed over.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from scheduling.conf import lease_seconds
from tenants.clock import read_clock
from tenants.context import all_tenants
from tenants.ids import uuid7_floor
from tenants.prepared import prepared_cursor

STALLED_AFTER = timedelta(seconds=15)
# An execution that began within that time may have been handed out, and so have its id, as long before.
_HANDED_OUT_BEFORE = timedelta(seconds=15)
KEPT_SECONDS = 2.0
# Rows read of each queue: of the tenants that are picked next, and of the wakes.
_LINES = 5

_STALLED = """
SELECT p.name FROM scheduling_workerpool p
WHERE NOT p.is_paused AND NOT EXISTS (SELECT FROM scheduling_drain d WHERE d.scope = 'pool' AND d.name = p.name)
    AND (SELECT count(*) = 0 OR sum(w.slots)
            > (SELECT count(DISTINCT l.message_id) FROM scheduling_execution_live l
                WHERE l.pool_id = p.id AND l.started_at IS NOT NULL)
            + coalesce((SELECT reserved_slots FROM scheduling_cfsplan WHERE is_active), 0)
        FROM scheduling_worker w WHERE w.pool_id = p.id AND w.status = 'online'
            AND w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s))
    AND NOT EXISTS (SELECT FROM scheduling_execution_live l WHERE l.pool_id = p.id AND l.started_at > now() - %(age)s)
    AND NOT EXISTS (SELECT FROM scheduling_execution x WHERE x.id >= %(floor)s AND x.started_at > now() - %(age)s
        AND x.queue_id IN (SELECT id FROM scheduling_queue WHERE pool_id = p.id))
    AND (EXISTS (SELECT FROM scheduling_execution_live l
            WHERE l.pool_id = p.id AND l.started_at IS NULL AND l.dispatched_at <= now() - %(age)s)
        OR EXISTS (SELECT FROM scheduling_queue q JOIN scheduling_queue_clock c ON c.queue_id = q.id
            CROSS JOIN LATERAL (
                WITH next AS (
                    SELECT e.id, e.tenant_id FROM scheduling_schedulingentity e
                    WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL
                    ORDER BY e.vruntime, e.in_flight + e.keys_in_flight, e.head_rank, e.id LIMIT %(lines)s
                )
                SELECT id, tenant_id FROM next
                UNION ALL
                SELECT k.id, n.tenant_id FROM next n CROSS JOIN LATERAL (
                    SELECT k.id FROM scheduling_schedulingentity k WHERE k.parent_id = n.id AND k.is_runnable
                    ORDER BY k.vruntime, k.in_flight, k.head_rank, k.id LIMIT 1) k
                UNION ALL  -- jobs that no tick has folded
                SELECT e.id, e.tenant_id
                FROM (SELECT w.entity_id FROM scheduling_wake w WHERE w.queue_id = q.id LIMIT %(lines)s) w
                    JOIN scheduling_schedulingentity e ON e.id = w.entity_id) line
            JOIN tenants_tenant t ON t.id = line.tenant_id JOIN tenants_plan tp ON tp.id = t.plan_id
            LEFT JOIN scheduling_tenant_capacity tc ON tc.tenant_id = t.id
            CROSS JOIN LATERAL (
                SELECT r.job_id FROM scheduling_job_ready r WHERE r.entity_id = line.id
                ORDER BY r.rank, r.job_id LIMIT 1) head
            JOIN scheduling_job j ON j.id = head.job_id
            WHERE q.pool_id = p.id AND NOT q.is_paused AND t.status = 'active' AND NOT t.is_paused
                AND coalesce(tc.in_flight, 0) < coalesce(t.max_concurrency, tp.max_concurrency)
                AND j.run_at <= now() - %(age)s
                AND (q.dispatches_per_minute IS NULL OR c.arrival_us <= extract(epoch FROM now()) * 1000000)
                AND (q.cap IS NULL OR q.cap > (
                    SELECT count(DISTINCT l.message_id) FROM scheduling_execution_live l WHERE l.queue_id = q.id))))
ORDER BY p.name
"""


def find_stalled_pools() -> list[str]:
    """Return the pools in which jobs wait and nothing has begun for STALLED_AFTER.

    Slots are free there, or no worker is online.

    One statement, by indexes, whatever waits. A job that has just become ready again may have an old time: a stall is
    what a second look, a moment later, finds again (:class:`StallWatch`).
    """
    with all_tenants(has_savepoint=False):
        values: dict[str, Any] = {
            "age": STALLED_AFTER,
            "floor": uuid7_floor(read_clock() - STALLED_AFTER - _HANDED_OUT_BEFORE),
            "lines": _LINES,
            "lease_seconds": lease_seconds(),
        }
        with prepared_cursor() as cursor:
            cursor.execute(_STALLED, values)
            return [name for (name,) in cursor.fetchall()]


@dataclass
class StallWatch:
    """The stalled pools as this process last found them, asked for again after KEPT_SECONDS."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _look_again_at: float = 0.0
    _found: frozenset[str] = frozenset()
    _stalled: tuple[str, ...] = ()

    def read(self) -> tuple[str, ...]:
        """Return the pools that were stalled at the last look and at the one before it."""
        with self._lock:
            if (now := time.monotonic()) >= self._look_again_at:
                found = frozenset(find_stalled_pools())
                self._stalled = tuple(sorted(found & self._found))
                self._found = found
                self._look_again_at = now + KEPT_SECONDS
            return self._stalled


stall_watch = StallWatch()
