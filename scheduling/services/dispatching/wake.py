"""Look anew at every entity that news came of: may it be picked, and from which virtual time."""

from __future__ import annotations

from django.db import connection

from scheduling.conf import WAKE_ROWS
from scheduling.services.dispatching.weights import TENANT_WEIGHT
from scheduling.services.dispatching.worker_time import HAS_WORKER_TIME

# The wake row and the job behind it were committed together, so the one statement's snapshot
# that deletes the first also sees the second: no wake-up is lost.
_FOLD_WAKES = """
WITH woken AS (
    DELETE FROM scheduling_wake WHERE ctid = ANY (ARRAY(
        SELECT w.ctid FROM scheduling_wake w JOIN scheduling_queue q ON q.id = w.queue_id
        WHERE q.pool_id = %(pool_id)s ORDER BY w.is_bulk LIMIT %(limit)s
    ))
    RETURNING entity_id, waiting_delta
), by_entity AS (
    SELECT entity_id, sum(waiting_delta) AS delta FROM woken GROUP BY 1
), looked AS (
    SELECT e.id, b.delta, head.rank AS head_rank,
        <tenant weight> AS weight_milli,
        head.rank IS NOT NULL AND t.status = 'active' AND NOT t.is_paused
            AND coalesce(c.in_flight, 0) < coalesce(t.max_concurrency, p.max_concurrency)
            AND <has worker time> AS is_runnable,
        clock.virtual_time
    FROM by_entity b
        JOIN scheduling_schedulingentity e ON e.id = b.entity_id
        JOIN scheduling_queue_clock clock ON clock.queue_id = e.queue_id
        JOIN tenants_tenant t ON t.id = e.tenant_id
        JOIN tenants_plan p ON p.id = t.plan_id
        LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = e.tenant_id
        LEFT JOIN LATERAL (
            SELECT r.rank FROM scheduling_job_ready r WHERE r.entity_id = e.id ORDER BY r.rank, r.job_id LIMIT 1
        ) head ON true
), updated AS (
    UPDATE scheduling_schedulingentity e SET
        waiting = e.waiting + l.delta,
        head_rank = coalesce(l.head_rank, e.head_rank),
        weight_milli = l.weight_milli,
        is_runnable = l.is_runnable,
        -- Whoever returns to eligibility starts where the others are: waiting earns no credit.
        vruntime = CASE WHEN l.is_runnable AND NOT e.is_runnable THEN greatest(e.vruntime, l.virtual_time)
            ELSE e.vruntime END
    FROM looked l WHERE e.id = l.id
)
SELECT count(*) FROM woken
""".replace("<has worker time>", HAS_WORKER_TIME).replace("<tenant weight>", TENANT_WEIGHT)


def fold_wakes(pool_id: int) -> bool:
    """Consume the pool's wakes, at most WAKE_ROWS: one statement; whether there may be more.

    An edited plan may wake a hundred thousand tenants, so the news of single jobs go before such bulk.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FOLD_WAKES, {"pool_id": pool_id, "limit": WAKE_ROWS})
        return int(cursor.fetchone()[0]) == WAKE_ROWS
