"""Look anew at every entity that news came of: may it be picked, and from which virtual time.

Whoever returns to eligibility starts where its siblings are, among the tenants of its queue as among the keys of its
tenant: waiting earns no credit.
"""

from __future__ import annotations

from uuid import UUID

from scheduling.conf import WAKE_ROWS
from scheduling.services.dispatching.locked import IS_FREE
from scheduling.services.dispatching.weights import TENANT_WEIGHT
from scheduling.services.dispatching.worker_time import HAS_WORKER_TIME
from tenants.prepared import prepared_cursor

# The wake row and the job behind it were committed together, so the one statement's snapshot that deletes the first
# also sees the second: no wake-up is lost. A key is looked at here; its tenant, told of it, after that.
_FOLD_KEYS = """
WITH woken AS (
    DELETE FROM scheduling_wake WHERE ctid = ANY (ARRAY(
        SELECT w.ctid FROM scheduling_wake w JOIN scheduling_queue q ON q.id = w.queue_id
        WHERE q.pool_id = %(pool_id)s AND <is free> ORDER BY w.is_bulk LIMIT %(limit)s
    ))
    RETURNING entity_id, waiting_delta
), news AS (
    SELECT e.id, e.parent_id, sum(w.waiting_delta) AS delta
    FROM woken w JOIN scheduling_schedulingentity e ON e.id = w.entity_id GROUP BY 1
), key AS (
    UPDATE scheduling_schedulingentity k SET
        waiting = k.waiting + n.delta,
        head_rank = coalesce(head.rank, k.head_rank),
        is_runnable = head.rank IS NOT NULL,
        vruntime = CASE WHEN head.rank IS NOT NULL AND NOT k.is_runnable THEN greatest(k.vruntime, e.virtual_time)
            ELSE k.vruntime END
    FROM news n JOIN scheduling_schedulingentity e ON e.id = n.parent_id
        LEFT JOIN LATERAL (
            SELECT r.rank FROM scheduling_job_ready r WHERE r.entity_id = n.id ORDER BY r.rank, r.job_id LIMIT 1
        ) head ON true
    WHERE k.id = n.id
)
SELECT woken.count, tenant.* FROM (SELECT count(*) FROM woken) woken LEFT JOIN (
    SELECT coalesce(parent_id, id), coalesce(sum(delta) FILTER (WHERE parent_id IS NULL), 0)::int,
        coalesce(sum(delta) FILTER (WHERE parent_id IS NOT NULL), 0)::int
    FROM news GROUP BY 1
) tenant ON true
""".replace("<is free>", IS_FREE.format(row="w"))
_FOLD_TENANTS = """
WITH looked AS (
    SELECT e.id, n.delta, n.keys_delta, own.rank AS own_rank, least(own.rank, key.head_rank) AS head_rank,
        <tenant weight> AS weight_milli,
        (own.rank IS NOT NULL OR key.head_rank IS NOT NULL) AND t.status = 'active' AND NOT t.is_paused
            AND coalesce(c.in_flight, 0) < coalesce(t.max_concurrency, p.max_concurrency)
            AND <has worker time> AS is_runnable,
        clock.virtual_time
    FROM unnest(%(ids)s::bigint[], %(deltas)s::int[], %(keys_deltas)s::int[]) AS n(id, delta, keys_delta)
        -- By OFFSET these come first, also in a plan that was made while there was next to nothing else to choose from.
        CROSS JOIN LATERAL (SELECT * FROM scheduling_schedulingentity o WHERE o.id = n.id OFFSET 0) e
        -- Not there yet for a queue that came without; the news are gone with this statement all the same.
        LEFT JOIN scheduling_queue_clock clock ON clock.queue_id = e.queue_id
        JOIN tenants_tenant t ON t.id = e.tenant_id
        JOIN tenants_plan p ON p.id = t.plan_id
        LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = e.tenant_id
        LEFT JOIN LATERAL (
            SELECT r.rank FROM scheduling_job_ready r WHERE r.entity_id = e.id ORDER BY r.rank, r.job_id LIMIT 1
        ) own ON true
        LEFT JOIN LATERAL (
            SELECT k.head_rank FROM scheduling_schedulingentity k
            WHERE k.parent_id = e.id AND k.is_runnable AND e.keys_waiting + n.keys_delta > 0
            ORDER BY k.head_rank, k.in_flight, k.id LIMIT 1
        ) key ON true
)
UPDATE scheduling_schedulingentity e SET
    waiting = e.waiting + l.delta,
    keys_waiting = e.keys_waiting + l.keys_delta,
    head_rank = coalesce(l.head_rank, e.head_rank),
    own_rank = l.own_rank,
    weight_milli = l.weight_milli,
    is_runnable = l.is_runnable,
    vruntime = CASE WHEN l.is_runnable AND NOT e.is_runnable THEN greatest(e.vruntime, l.virtual_time)
        ELSE e.vruntime END,
    own_vruntime = CASE WHEN l.own_rank IS NOT NULL AND e.own_rank IS NULL THEN greatest(e.own_vruntime, e.virtual_time)
        ELSE e.own_vruntime END
FROM looked l WHERE e.id = l.id
""".replace("<has worker time>", HAS_WORKER_TIME).replace("<tenant weight>", TENANT_WEIGHT)


def fold_wakes(pool_id: int, free: list[UUID] | None = None) -> int:
    """Consume the pool's wakes, at most WAKE_ROWS: two statements; how many there were.

    An edited plan may wake a hundred thousand tenants, so the news of single jobs go before such bulk. A careful
    tick consumes those of the tenants in ``free`` alone.
    """
    with prepared_cursor() as cursor:
        cursor.execute(_FOLD_KEYS, {"pool_id": pool_id, "limit": WAKE_ROWS, "free": free})
        rows = cursor.fetchall()
        if news := [tenant for _, *tenant in rows if tenant[0] is not None]:
            ids, deltas, keys_deltas = zip(*news, strict=True)
            parameters = {"ids": list(ids), "deltas": list(deltas), "keys_deltas": list(keys_deltas)}
            cursor.execute(_FOLD_TENANTS, parameters)
    return int(rows[0][0])
