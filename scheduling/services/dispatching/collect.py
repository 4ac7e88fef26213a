"""Fold what ended since the last tick into virtual times, counters, the sums of the predictor and usage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from scheduling.limits import PEAK_MEMORY, WORKER_SECONDS
from scheduling.services.dispatching.locked import IS_FREE
from scheduling.services.dispatching.prediction import FOLD_SAMPLES
from scheduling.services.dispatching.worker_time import LIMIT_US
from tenants.limits import WARNING_PERCENTS
from tenants.prepared import prepared_cursor
from tenants.selectors.limits import MONTH
from tenants.services.limit_warnings import warn_of_usage

# A charge is corrected at the weight at which it was made: taken off at another one, an edit of weights would
# credit or fine whoever was in flight. Virtual times are nanoseconds per unit of weight, hence the 1,000,000 over
# milli-weights. Products are numeric, and cut off as the charge was: a sum that no clock holds is an error of its row.
# A clock never stands before an eligible child: whom a correction brings below it takes it along, or else those who
# return would wait for service that was only predicted.
# Capacities are locked in the order of the tenants, because two pools' ticks may both want them; usage is written
# under the same locks. Whoever has just used its month up is looked at again in every queue, and whoever passed a
# part of a limit at which tenants are warned, or stands there with a new peak, is what the statement answers; and a
# null where somebody who was held at its cap has queues of other pools.
_COLLECT = (
    """
WITH gone AS (
    -- By their places: whatever statistics say of a table that fills and empties, a list is planned as ten rows, for
    -- which lines, capacities and tenants are looked up one by one, and the names below are joined by their hashes.
    DELETE FROM scheduling_settled WHERE ctid = ANY (<places>)
    RETURNING *
), still AS MATERIALIZED (
    -- A message keeps its places until its last execution has ended. The settlement takes the one row and writes the
    -- other in one transaction, so exactly one tick sees that.
    SELECT message_id, entity_id, tenant_id FROM scheduling_execution_live WHERE pool_id = %(pool_id)s
), by_line AS (
    SELECT l.*, (SELECT parent_id FROM scheduling_schedulingentity e WHERE e.id = l.entity_id) AS parent_id
    FROM (
        SELECT entity_id,
            count(DISTINCT message_id) FILTER (
                WHERE (message_id, entity_id) NOT IN (SELECT message_id, entity_id FROM still)) AS ended,
            sum(div(measured_us::numeric * 1000000, weight_milli) - div(predicted_us::numeric * 1000000, weight_milli))
                ::bigint AS correction,
            sum((measured_us::numeric - predicted_us) * 1000)::bigint AS key_correction
        FROM gone GROUP BY 1
    ) l
), key AS (
    UPDATE scheduling_schedulingentity k SET
        in_flight = k.in_flight - b.ended,
        vruntime = k.vruntime + b.key_correction
    FROM by_line b WHERE k.id = b.entity_id AND b.parent_id IS NOT NULL
    RETURNING k.parent_id, k.vruntime, k.is_runnable
), by_entity AS (
    SELECT coalesce(parent_id, entity_id) AS entity_id, sum(correction)::bigint AS correction,
        coalesce(sum(ended) FILTER (WHERE parent_id IS NULL), 0) AS ended,
        coalesce(sum(ended) FILTER (WHERE parent_id IS NOT NULL), 0) AS keys_ended,
        coalesce(sum(key_correction) FILTER (WHERE parent_id IS NULL), 0)::bigint AS own_correction
    FROM by_line GROUP BY 1
), entity AS (
    UPDATE scheduling_schedulingentity e SET
        in_flight = e.in_flight - b.ended,
        keys_in_flight = e.keys_in_flight - b.keys_ended,
        vruntime = e.vruntime + b.correction,
        own_vruntime = e.own_vruntime + b.own_correction,
        virtual_time = least(e.virtual_time,
            CASE WHEN e.own_rank IS NOT NULL THEN e.own_vruntime + b.own_correction END,
            b.keys_vruntime)
    FROM (
        SELECT b.*, k.keys_vruntime FROM by_entity b LEFT JOIN (
            SELECT parent_id, min(vruntime) AS keys_vruntime FROM key WHERE is_runnable GROUP BY 1
        ) k ON k.parent_id = b.entity_id
    ) b WHERE e.id = b.entity_id
    RETURNING e.queue_id, e.vruntime, e.is_runnable
), by_tenant AS (
    -- A message with jobs of two of a tenant's keys has one place of the tenant's.
    SELECT tenant_id, count(DISTINCT message_id) FILTER (
        WHERE (message_id, tenant_id) NOT IN (SELECT message_id, tenant_id FROM still)) AS ended
    FROM gone GROUP BY 1
), capacity_lock AS (
    SELECT c.tenant_id, b.ended, coalesce(t.max_concurrency, p.max_concurrency) AS cap, <limit> AS limit_us
    FROM by_tenant b JOIN scheduling_tenant_capacity c USING (tenant_id)
        JOIN tenants_tenant t ON t.id = b.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
    ORDER BY c.tenant_id FOR NO KEY UPDATE OF c
), capacity AS (
    UPDATE scheduling_tenant_capacity c SET in_flight = c.in_flight - b.ended
    FROM capacity_lock b WHERE c.tenant_id = b.tenant_id AND b.ended > 0
    RETURNING c.tenant_id, c.in_flight + b.ended >= b.cap AS was_full
), freed AS (
    -- Whoever was held at its cap and no longer is gets looked at again, in every queue.
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT e.tenant_id, e.id, e.queue_id, 0
    FROM (SELECT tenant_id FROM capacity WHERE was_full OFFSET 0) c
        JOIN scheduling_schedulingentity e ON e.tenant_id = c.tenant_id AND e.parent_id IS NULL
    RETURNING queue_id
), <samples>, by_queue AS (
    SELECT queue_id,
        sum(div(measured_us::numeric * 1000000, queue_weight_milli)
            - div(predicted_us::numeric * 1000000, queue_weight_milli))::bigint AS correction
    FROM gone GROUP BY 1
), queue AS (
    UPDATE scheduling_queue_clock c SET
        vruntime = c.vruntime + b.correction,
        virtual_time = least(c.virtual_time, l.vruntime),
        floor = least(c.floor, l.vruntime)
    FROM by_queue b LEFT JOIN (SELECT queue_id, min(vruntime) AS vruntime FROM entity WHERE is_runnable GROUP BY 1) l
        USING (queue_id)
    WHERE c.queue_id = b.queue_id
    RETURNING c.vruntime, c.was_backlogged
), pool AS (
    UPDATE scheduling_pool_clock c SET virtual_time = l.vruntime
    FROM (SELECT min(vruntime) AS vruntime FROM queue WHERE was_backlogged) l
    WHERE c.pool_id = %(pool_id)s AND l.vruntime < c.virtual_time
), by_month AS (
    SELECT tenant_id, date_trunc('month', ended_at AT TIME ZONE 'UTC')::date AS period,
        sum(measured_us)::bigint AS worker_us, max(peak_memory_kib) AS peak_kib
    FROM gone GROUP BY 1, 2
), worker_time AS (
    INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount)
    SELECT m.tenant_id, %(worker_key)s, m.period, m.worker_us FROM by_month m WHERE <are locked>
    ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = u.amount + excluded.amount
    RETURNING u.tenant_id, u.period, u.amount
), peak AS (
    INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount)
    SELECT m.tenant_id, %(peak_key)s::text, m.period, m.peak_kib FROM by_month m
    -- An upsert that changes nothing locks and writes its row all the same.
    WHERE <are locked> AND m.peak_kib > coalesce((SELECT o.amount FROM tenants_tenantusage o
        WHERE o.tenant_id = m.tenant_id AND o.key = %(peak_key)s::text AND o.period = m.period), -1)
    ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = excluded.amount WHERE u.amount < excluded.amount
    RETURNING u.tenant_id, u.amount
), used AS (
    -- FULL and OFFSET: in a plan for any number of tenants the join would be a loop of all by all.
    SELECT tenant_id, amount, amount - worker_us AS before, limit_us
    FROM (SELECT * FROM worker_time FULL JOIN by_month USING (tenant_id, period)
        FULL JOIN capacity_lock USING (tenant_id) OFFSET 0) w
    WHERE period = <month>
), used_up AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT e.tenant_id, e.id, e.queue_id, 0
    FROM (SELECT tenant_id FROM used WHERE before < limit_us AND amount >= limit_us OFFSET 0) u
        JOIN scheduling_schedulingentity e ON e.tenant_id = u.tenant_id AND e.parent_id IS NULL
)
SELECT NULL WHERE EXISTS (
    SELECT FROM freed f JOIN scheduling_queue q ON q.id = f.queue_id WHERE q.pool_id <> %(pool_id)s)
UNION ALL SELECT tenant_id FROM used CROSS JOIN unnest(%(percents)s::int[]) AS level(percent)
WHERE before::numeric * 100 < level.percent * limit_us::numeric
    AND amount::numeric * 100 >= level.percent * limit_us::numeric
UNION SELECT k.tenant_id
FROM peak k JOIN tenants_tenant t ON t.id = k.tenant_id
WHERE k.amount::numeric * 100 >= (SELECT min(level) FROM unnest(%(percents)s::int[]) AS level)
    * %(peak_unit)s * coalesce(
        (SELECT o.value FROM tenants_tenantlimit o WHERE o.tenant_id = k.tenant_id AND o.key = %(peak_key)s
            AND (o.expires_at IS NULL OR o.expires_at > now())),
        (SELECT r.value FROM tenants_planlimit r WHERE r.plan_id = t.plan_id AND r.key = %(peak_key)s),
        %(peak_default)s)::numeric
""".replace("<samples>", FOLD_SAMPLES)
    .replace("<limit>", LIMIT_US)
    .replace("<month>", MONTH)
    # A question about all of them is answered first, once.
    .replace("<are locked>", "(SELECT count(*) FROM capacity_lock) >= 0")
)
_ALL = """ARRAY(
        SELECT s.ctid FROM scheduling_settled s JOIN scheduling_queue q ON q.id = s.queue_id
        WHERE q.pool_id = %(pool_id)s AND <is free>)"""
_COLLECT_ALL = _COLLECT.replace("<places>", _ALL.replace("<is free>", IS_FREE.format(row="s")))
_COLLECT_SOME = _COLLECT.replace("<places>", "%(places)s::tid[]")


def collect_settled(pool_id: int, free: list[UUID] | None = None, *, places: Sequence[str] | None = None) -> bool:
    """Fold the pool's settled executions: one statement, whatever their number; one more where a limit comes near.

    Return whether that may let jobs of other pools start. Of a careful tick only those of the tenants in ``free``.
    ``places`` are the ctids of the rows to fold; None: all.
    """
    parameters: dict[str, Any] = {
        "pool_id": pool_id,
        "free": free,
        "worker_key": WORKER_SECONDS.key,
        "peak_key": PEAK_MEMORY.key,
        "peak_unit": PEAK_MEMORY.counts_per_unit,
        "peak_default": PEAK_MEMORY.default,
        "percents": list(WARNING_PERCENTS),
    }
    with prepared_cursor() as cursor:
        if places is None:
            cursor.execute(_COLLECT_ALL, parameters)
        else:
            cursor.execute(_COLLECT_SOME, {**parameters, "places": list(places)})
        found = [tenant_id for (tenant_id,) in cursor.fetchall()]
    if near := [tenant_id for tenant_id in found if tenant_id is not None]:
        warn_of_usage(near)
    return None in found
