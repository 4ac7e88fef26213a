"""Charge what goes on beyond what it was charged, a slice at a time.

Under time slices a hand-out is charged at most a slice, as it may end there. Whoever keeps its slot is charged another
when that is used, as if it had been handed out again: clocks follow what runs, not what was once predicted, and
whoever comes back meanwhile starts where the others really are.
"""

from __future__ import annotations

from uuid import UUID

from scheduling.services.dispatching.locked import IS_FREE
from scheduling.services.settlement import longest_us
from tenants.ids import uuid7s
from tenants.prepared import prepared_cursor

# Of a message with several members nobody knows whose turn it is; such jobs are shorter than any slice. Workers renew
# leases on the same rows, and a settlement takes them: whose row is held is looked at by the next tick.
_USED = """
SELECT l.id FROM scheduling_execution_live l
WHERE l.pool_id = %(pool_id)s AND <is used>
    AND <is free>
    AND NOT EXISTS (SELECT FROM scheduling_execution_live o WHERE o.message_id = l.message_id AND o.id <> l.id)
ORDER BY l.id FOR NO KEY UPDATE OF l SKIP LOCKED
"""
# The weights are the hand-out's, at which its end corrects the charge. A clock goes to the start of the last slice, but
# not past a child that waits, or whoever comes would stand behind service that nobody has had. Of those charged here
# the statement sees the virtual times of before.
_CHARGE = """
WITH gone_on AS (
    UPDATE scheduling_execution_live l SET
        predicted_us = l.predicted_us + s.slices * s.slice_us, whole_us = coalesce(l.whole_us, l.predicted_us)
    FROM (
        SELECT l.id, u.charge_id, p.granularity_seconds * 1000000::bigint AS slice_us,
            1 + floor((least(extract(epoch FROM now() - l.started_at) * 1000000, %(most_us)s) - l.predicted_us)
                / (p.granularity_seconds * 1000000::bigint))::bigint AS slices
        FROM unnest(%(ids)s::uuid[], %(charge_ids)s::uuid[]) AS u(id, charge_id)
            JOIN scheduling_execution_live l ON l.id = u.id
            JOIN scheduling_cfsplan p ON p.is_active AND p.strategy = 'time_slice'
    ) s
    WHERE l.id = s.id
    RETURNING l.id, l.tenant_id, l.job_id, l.entity_id, l.queue_id, l.weight_milli, l.queue_weight_milli, s.charge_id,
        s.slices * s.slice_us AS cost_us, s.slice_us
), charge AS (
    INSERT INTO scheduling_charge (id, tenant_id, job_id, execution_id, queue_id, reason, microseconds, at)
    SELECT charge_id, tenant_id, job_id, id, queue_id, 'slice', cost_us, now() FROM gone_on
), line AS (
    SELECT g.entity_id, e.parent_id, sum(cost_us * 1000)::bigint AS key_service, max(slice_us * 1000) AS key_slice,
        sum(div(cost_us::numeric * 1000000, g.weight_milli))::bigint AS service,
        max(slice_us * 1000000 / g.weight_milli) AS slice
    FROM gone_on g JOIN scheduling_schedulingentity e ON e.id = g.entity_id GROUP BY 1, 2
), key AS (
    UPDATE scheduling_schedulingentity k SET vruntime = k.vruntime + l.key_service
    FROM line l WHERE k.id = l.entity_id AND l.parent_id IS NOT NULL
    RETURNING k.parent_id, k.vruntime - l.key_slice AS start_tag
), tenant AS (
    SELECT coalesce(parent_id, entity_id) AS id, sum(service)::bigint AS service, max(slice) AS slice,
        coalesce(sum(key_service) FILTER (WHERE parent_id IS NULL), 0)::bigint AS own_service,
        max(key_slice) FILTER (WHERE parent_id IS NULL) AS own_slice
    FROM line GROUP BY 1
), entity AS (
    UPDATE scheduling_schedulingentity e SET
        vruntime = e.vruntime + t.service,
        own_vruntime = e.own_vruntime + t.own_service,
        virtual_time = greatest(e.virtual_time, least(
            greatest(e.own_vruntime + t.own_service - t.own_slice,
                (SELECT max(k.start_tag) FROM key k WHERE k.parent_id = e.id)),
            CASE WHEN e.own_rank IS NOT NULL THEN e.own_vruntime END,
            (SELECT min(k.vruntime) FROM scheduling_schedulingentity k WHERE k.parent_id = e.id AND k.is_runnable)))
    FROM tenant t WHERE e.id = t.id
    RETURNING e.queue_id, e.vruntime - t.slice AS start_tag
), queue AS (
    UPDATE scheduling_queue_clock c SET
        vruntime = c.vruntime + q.service,
        virtual_time = greatest(c.virtual_time, least(
            (SELECT max(e.start_tag) FROM entity e WHERE e.queue_id = c.queue_id),
            (SELECT min(e.vruntime) FROM scheduling_schedulingentity e
             WHERE e.queue_id = c.queue_id AND e.parent_id IS NULL AND e.is_runnable)))
    FROM (
        SELECT queue_id, sum(div(cost_us::numeric * 1000000, queue_weight_milli))::bigint AS service,
            max(slice_us * 1000000 / queue_weight_milli) AS slice
        FROM gone_on GROUP BY 1
    ) q WHERE c.queue_id = q.queue_id
    RETURNING c.vruntime - q.slice AS start_tag
)
UPDATE scheduling_pool_clock c SET virtual_time = q.start_tag
FROM (
    SELECT least(max(start_tag), (
        SELECT min(w.vruntime) FROM scheduling_queue_clock w JOIN scheduling_queue s ON s.id = w.queue_id
        WHERE s.pool_id = %(pool_id)s AND w.was_backlogged
    )) AS start_tag FROM queue
) q
WHERE c.pool_id = %(pool_id)s AND q.start_tag > c.virtual_time
"""
# Whether a live execution ``l`` has run for its slice, under the active plan, and for all that it was charged. The
# first is one moment for all of them, and leaves few for the second. What is charged already for as long as anything
# may run is charged no more: only a clock that was set can make it seem to go on.
IS_USED = """l.started_at <= (SELECT now() - p.granularity_seconds * interval '1 second'
        FROM scheduling_cfsplan p WHERE p.is_active AND p.strategy = 'time_slice')
    AND l.predicted_us < %(most_us)s AND l.started_at <= now() - l.predicted_us * interval '1 microsecond'"""


def charge_slices(pool_id: int, free: list[UUID] | None = None) -> None:
    """Charge another slice to each of the pool's executions that have run for what they were charged.

    A careful tick charges those of the tenants in ``free`` alone.
    """
    with prepared_cursor() as cursor:
        statement = _USED.replace("<is used>", IS_USED).replace("<is free>", IS_FREE.format(row="l"))
        cursor.execute(statement, {"pool_id": pool_id, "free": free, "most_us": longest_us()})
        ids = [execution_id for (execution_id,) in cursor.fetchall()]
        if ids:
            charge_ids = uuid7s(len(ids))
            cursor.execute(_CHARGE, {"pool_id": pool_id, "ids": ids, "charge_ids": charge_ids, "most_us": longest_us()})
