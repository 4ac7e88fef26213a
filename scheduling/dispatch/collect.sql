-- name: collect_all
-- Fold all settled executions of a pool into virtual times, counters, the sums of the predictor and usage. Return the
-- tenants that have passed a part of a limit at which they are warned, and NULL if a tenant that was held at its cap
-- has queues of other pools.
WITH gone AS (
    -- By their places: whatever statistics say of a table that fills and empties, a list is planned as ten rows, for
    -- which lines, capacities and tenants are looked up one by one, and the names below are joined by their hashes.
    DELETE FROM scheduling_settled WHERE ctid = ANY (ARRAY(
        SELECT s.ctid FROM scheduling_settled s JOIN scheduling_queue q ON q.id = s.queue_id
        WHERE q.pool_id = %(pool_id)s AND (%(free)s::uuid[] IS NULL OR s.tenant_id = ANY(%(free)s::uuid[]))))
    RETURNING *
),
-- include: fold_settled
;

-- name: collect_places
-- Fold the settled executions at some places in the same way.
WITH gone AS (
    DELETE FROM scheduling_settled WHERE ctid = ANY (%(places)s::tid[]) RETURNING *
),
-- include: fold_settled
;

-- fragment: fold_settled
-- A charge is corrected at the weight at which it was made: at another one, an edit of weights would credit or fine
-- tenants for what was in flight. Virtual times are nanoseconds per unit of weight, hence the 1,000,000 over milli-
-- weights. Products are numeric and cut off as the charge was: a sum that no clock can store is an error of its row. A
-- clock never stands before an eligible child: a child that a correction moves below it takes it along, or else tenants
-- that return would wait for service that was only predicted. Capacities are locked in the order of the tenants,
-- because two pools' ticks may both need them; usage is written under the same locks. A tenant that has just used its
-- month up is read again in every queue.
still AS MATERIALIZED (
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
    SELECT c.tenant_id, b.ended,
    -- include: tenant_cap
    AS cap,
    -- include: worker_time_limit_us
    AS limit_us
    FROM by_tenant b JOIN scheduling_tenant_capacity c USING (tenant_id)
        JOIN tenants_tenant t ON t.id = b.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
    ORDER BY c.tenant_id FOR NO KEY UPDATE OF c
), capacity AS (
    UPDATE scheduling_tenant_capacity c SET in_flight = c.in_flight - b.ended
    FROM capacity_lock b WHERE c.tenant_id = b.tenant_id AND b.ended > 0
    RETURNING c.tenant_id, c.in_flight + b.ended >= b.cap AS was_full
), freed AS (
    -- A tenant that was held at its cap and no longer is is read again, in every queue.
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT e.tenant_id, e.id, e.queue_id, 0
    FROM (SELECT tenant_id FROM capacity WHERE was_full OFFSET 0) c
        JOIN scheduling_schedulingentity e ON e.tenant_id = c.tenant_id AND e.parent_id IS NULL
    RETURNING queue_id
),
-- include: fold_samples
, by_queue AS (
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
    SELECT m.tenant_id, %(worker_key)s, m.period, m.worker_us FROM by_month m
    -- A condition on all of them is evaluated first, once.
    WHERE (SELECT count(*) FROM capacity_lock) >= 0
    ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = u.amount + excluded.amount
    RETURNING u.tenant_id, u.period, u.amount
), peak AS (
    INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount)
    SELECT m.tenant_id, %(peak_key)s::text, m.period, m.peak_kib FROM by_month m
    -- An upsert that changes nothing locks and writes its row all the same.
    WHERE (SELECT count(*) FROM capacity_lock) >= 0 AND m.peak_kib > coalesce((
        SELECT o.amount FROM tenants_tenantusage o
        WHERE o.tenant_id = m.tenant_id AND o.key = %(peak_key)s::text AND o.period = m.period), -1)
    ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = excluded.amount WHERE u.amount < excluded.amount
    RETURNING u.tenant_id, u.amount
), used AS (
    -- FULL and OFFSET: in a plan for any number of tenants the join would be a loop of all by all.
    SELECT tenant_id, amount, amount - worker_us AS before, limit_us
    FROM (SELECT * FROM worker_time FULL JOIN by_month USING (tenant_id, period)
        FULL JOIN capacity_lock USING (tenant_id) OFFSET 0) w
    WHERE period =
    -- include: this_month
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

-- fragment: fold_samples
-- CTEs over the settled rows ``gone``. A sample is a whole job: ``used_us`` is the slot time of all its slices, and the
-- prediction of its last dispatch was of what was then left of it. A sample counts for at most some 11 days: at the
-- least weight a charge of so much is still a tenth of what a clock can store.
samples AS (
    SELECT g.tenant_id, g.kind, g.payload_bytes::float8 AS size, g.used_us::float8 AS whole_us,
        g.expected_us - g.measured_us::float8 AS error_us,
        least(1000000000000::float8, CASE WHEN coalesce(k.samples, 0) < 5 THEN g.used_us
            ELSE least(g.used_us, 8 * (g.used_us - g.measured_us::float8 + g.expected_us)) END) AS cost
    FROM (SELECT *, coalesce(whole_us, predicted_us)::float8 AS expected_us FROM gone) g
        LEFT JOIN scheduling_kind_cost k ON k.kind = g.kind
    WHERE g.is_sample
), tenant_cost AS (
    INSERT INTO scheduling_tenant_kind_cost AS c (tenant_id, kind,
    -- include: cost_columns
    )
    SELECT tenant_id, kind,
    -- include: fresh_costs
    FROM (SELECT tenant_id, kind,
    -- include: sums_of_samples
    FROM samples GROUP BY tenant_id, kind ORDER BY tenant_id, kind) AS fresh
    ON CONFLICT (tenant_id, kind) DO UPDATE SET
    -- include: faded_costs
), kind_cost AS (
    INSERT INTO scheduling_kind_cost AS c (kind,
    -- include: cost_columns
    )
    SELECT kind,
    -- include: fresh_costs
    FROM (SELECT kind,
    -- include: sums_of_samples
    FROM samples GROUP BY kind ORDER BY kind) AS fresh
    ON CONFLICT (kind) DO UPDATE SET
    -- include: faded_costs
)

-- fragment: cost_columns
samples, n, mean_us, sum_x, sum_y, sum_xx, sum_xy, sum_yy, least_us, most_us, error_us, bias_us, total_us, updated_at

-- fragment: fresh_costs
samples, samples, greatest(1, round(sum_y / samples))::bigint, sum_x, sum_y, sum_xx, sum_xy, sum_yy, least_us, most_us,
error_us, bias_us, total_us, now()

-- fragment: sums_of_samples
count(*) AS samples, sum(size) AS sum_x, sum(cost) AS sum_y, sum(size * size) AS sum_xx, sum(size * cost) AS sum_xy,
sum(cost * cost) AS sum_yy, min(cost) AS least_us, max(cost) AS most_us, sum(abs(error_us)) AS error_us,
sum(error_us) AS bias_us, sum(whole_us) AS total_us

-- fragment: faded_costs
-- The past fades by what it weighs beyond 50 samples; all sums of one sample fade alike.
samples = c.samples + excluded.samples,
n = c.n * least(1, 50.0::float8 / c.n) + excluded.n,
mean_us = greatest(1, round((c.sum_y * least(1, 50.0::float8 / c.n) + excluded.sum_y)
    / (c.n * least(1, 50.0::float8 / c.n) + excluded.n)))::bigint,
sum_x = c.sum_x * least(1, 50.0::float8 / c.n) + excluded.sum_x,
sum_y = c.sum_y * least(1, 50.0::float8 / c.n) + excluded.sum_y,
sum_xx = c.sum_xx * least(1, 50.0::float8 / c.n) + excluded.sum_xx,
sum_xy = c.sum_xy * least(1, 50.0::float8 / c.n) + excluded.sum_xy,
sum_yy = c.sum_yy * least(1, 50.0::float8 / c.n) + excluded.sum_yy,
error_us = c.error_us * least(1, 50.0::float8 / c.n) + excluded.error_us,
bias_us = c.bias_us * least(1, 50.0::float8 / c.n) + excluded.bias_us,
total_us = c.total_us * least(1, 50.0::float8 / c.n) + excluded.total_us,
least_us = least(excluded.least_us,
    c.least_us + (c.sum_y / c.n - c.least_us) * least(1, excluded.n / 50.0::float8)),
most_us = greatest(excluded.most_us,
    c.most_us + (c.sum_y / c.n - c.most_us) * least(1, excluded.n / 50.0::float8)),
updated_at = excluded.updated_at
