-- name: collect_all
-- Fold all settled executions of a pool into virtual times, counters, predictor sums and usage. Return the tenants that
-- passed a warning level of a limit, and NULL if a tenant that was held at its cap has queues of other pools.
WITH deleted_rows AS (
    -- By ctid: whatever the statistics of a table that fills and empties are, a list is planned as ten rows. For these,
    -- lines, capacities and tenants are looked up one by one, and the sets below are hash-joined.
    DELETE FROM scheduling_settled WHERE ctid = ANY (ARRAY(
        SELECT s.ctid FROM scheduling_settled s JOIN scheduling_queue q ON q.id = s.queue_id
        WHERE q.pool_id = %(pool_id)s AND (%(free)s::uuid[] IS NULL OR s.tenant_id = ANY(%(free)s::uuid[]))))
    RETURNING *
),
-- include: fold_settled
;

-- name: collect_places
-- Fold the settled executions at the given ctids in the same way.
WITH deleted_rows AS (
    DELETE FROM scheduling_settled WHERE ctid = ANY (%(places)s::tid[]) RETURNING *
),
-- include: fold_settled
;

-- fragment: fold_settled
-- Correct a charge at the weight at which it was made: at another one, an edit of weights would credit or fine tenants
-- for jobs in flight. Virtual times are nanoseconds per unit of weight, hence 1,000,000 over milli-weights. Products
-- are numeric and truncated as the charge was: a sum that no clock can store fails its row. A clock never exceeds an
-- eligible child: a child that a correction moves below it lowers it, or returning tenants would wait for service that
-- was only predicted. Lock capacities in the order of tenants, because two pools' ticks may both need them; usage is
-- written under the same locks. A tenant that has just used up its month is read again in every queue.
in_flight_places AS MATERIALIZED (
    -- A message keeps its slot until its last execution has ended. The settlement deletes one row and inserts the other
    -- in one transaction, so exactly one tick sees that.
    SELECT message_id, entity_id, tenant_id FROM scheduling_execution_live WHERE pool_id = %(pool_id)s
), by_line AS (
    SELECT l.*, (SELECT parent_id FROM scheduling_schedulingentity e WHERE e.id = l.entity_id) AS parent_id
    FROM (
        SELECT entity_id,
            count(DISTINCT message_id) FILTER (
                WHERE (message_id, entity_id) NOT IN (SELECT message_id, entity_id FROM in_flight_places)) AS ended,
            sum(div(measured_us::numeric * 1000000, weight_milli) - div(predicted_us::numeric * 1000000, weight_milli))
                ::bigint AS correction,
            sum((measured_us::numeric - predicted_us) * 1000)::bigint AS key_correction
        FROM deleted_rows GROUP BY 1
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
    -- A message with jobs of two keys of a tenant takes one slot of the tenant.
    SELECT tenant_id, count(DISTINCT message_id) FILTER (
        WHERE (message_id, tenant_id) NOT IN (SELECT message_id, tenant_id FROM in_flight_places)) AS ended
    FROM deleted_rows GROUP BY 1
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
), uncapped_tenants AS (
    -- A tenant that was held at its cap and no longer is: read it again in every queue.
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
    FROM deleted_rows GROUP BY 1
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
        sum(
        -- include: measured_charge
        )::bigint AS worker_us, max(peak_memory_kib) AS peak_kib, coalesce(sum(cpu_us), 0)::bigint AS cpu_us,
        coalesce(sum(io_bytes), 0)::bigint AS io_bytes
    FROM deleted_rows GROUP BY 1, 2
), worker_time AS (
    INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount)
    SELECT m.tenant_id, %(worker_key)s, m.period, m.worker_us FROM by_month m
    -- A condition on all rows is evaluated first, once.
    WHERE (SELECT count(*) FROM capacity_lock) >= 0
    ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = u.amount + excluded.amount
    RETURNING u.tenant_id, u.period, u.amount
), resource AS (
    INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount)
    SELECT m.tenant_id, r.key, m.period, r.amount FROM by_month m
        CROSS JOIN LATERAL (VALUES (%(cpu_key)s::text, m.cpu_us), (%(io_key)s::text, m.io_bytes)) AS r(key, amount)
    WHERE (SELECT count(*) FROM capacity_lock) >= 0 AND r.amount > 0
    ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = u.amount + excluded.amount
    RETURNING u.tenant_id, u.key, u.period, u.amount
), peak AS (
    INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount)
    SELECT m.tenant_id, %(peak_key)s::text, m.period, m.peak_kib FROM by_month m
    -- An upsert that changes nothing still locks and writes its row.
    WHERE (SELECT count(*) FROM capacity_lock) >= 0 AND m.peak_kib > coalesce((
        SELECT o.amount FROM tenants_tenantusage o
        WHERE o.tenant_id = m.tenant_id AND o.key = %(peak_key)s::text AND o.period = m.period), -1)
    ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = excluded.amount WHERE u.amount < excluded.amount
    RETURNING u.tenant_id, u.amount
), used AS (
    -- FULL and OFFSET: in a generic plan the join would otherwise be a nested loop over all pairs.
    SELECT tenant_id, amount, amount - worker_us AS before, limit_us
    FROM (SELECT * FROM worker_time FULL JOIN by_month USING (tenant_id, period)
        FULL JOIN capacity_lock USING (tenant_id) OFFSET 0) w
    WHERE period =
    -- include: this_month
), limited_resource AS (
    -- Only a tenant that has such a limit is compared with it. FULL and OFFSET as above.
    SELECT r.tenant_id, r.amount, r.amount - CASE r.key WHEN %(cpu_key)s THEN r.cpu_us ELSE r.io_bytes END AS before,
        r.key, l.value AS most
    FROM (SELECT r.tenant_id, r.period, r.key, r.amount, m.cpu_us, m.io_bytes
            FROM resource r FULL JOIN by_month m USING (tenant_id, period) OFFSET 0) r
        JOIN tenants_tenant t ON t.id = r.tenant_id
        CROSS JOIN LATERAL (SELECT
        -- include: resource_limit
        AS value) l
    WHERE l.value IS NOT NULL AND r.period =
    -- include: this_month
), exhausted_tenants AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT e.tenant_id, e.id, e.queue_id, 0
    FROM (SELECT tenant_id FROM used WHERE before < limit_us AND amount >= limit_us
        UNION SELECT tenant_id FROM limited_resource WHERE before < most AND amount >= most OFFSET 0) u
        JOIN scheduling_schedulingentity e ON e.tenant_id = u.tenant_id AND e.parent_id IS NULL
)
SELECT NULL WHERE EXISTS (
    SELECT FROM uncapped_tenants f JOIN scheduling_queue q ON q.id = f.queue_id WHERE q.pool_id <> %(pool_id)s)
UNION ALL SELECT tenant_id FROM used WHERE EXISTS (
    SELECT FROM unnest(%(percents)s::int[]) AS percent
    WHERE before::numeric * 100 < percent * limit_us::numeric AND amount::numeric * 100 >= percent * limit_us::numeric)
UNION SELECT tenant_id FROM limited_resource WHERE EXISTS (
    SELECT FROM unnest(%(percents)s::int[]) AS percent
    WHERE before::numeric * 100 < percent * most::numeric AND amount::numeric * 100 >= percent * most::numeric)
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
-- prediction of its last dispatch was for the rest of it. A sample counts for at most about 11 days: at the least
-- weight that charge is still a tenth of what a clock can store.
samples AS (
    SELECT g.tenant_id, g.kind, g.payload_bytes::float8 AS size, g.used_us::float8 AS whole_us,
        g.expected_us - g.measured_us::float8 AS error_us,
        least(1000000000000::float8, CASE WHEN coalesce(k.samples, 0) < 5 THEN g.used_us
            ELSE least(g.used_us, 8 * (g.used_us - g.measured_us::float8 + g.expected_us)) END) AS cost
    FROM (SELECT *, coalesce(whole_us, predicted_us)::float8 AS expected_us FROM deleted_rows) g
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
-- Older samples fade in proportion to their weight above the memory, which is short while the errors lie on one side;
-- all sums of one sample fade alike.
(
-- include: cost_columns
) = (
    SELECT c.samples + excluded.samples, c.n * kept + excluded.n,
        greatest(1, round((c.sum_y * kept + excluded.sum_y) / (c.n * kept + excluded.n)))::bigint,
        c.sum_x * kept + excluded.sum_x, c.sum_y * kept + excluded.sum_y, c.sum_xx * kept + excluded.sum_xx,
        c.sum_xy * kept + excluded.sum_xy, c.sum_yy * kept + excluded.sum_yy,
        least(excluded.least_us, c.least_us + (c.sum_y / c.n - c.least_us) * least(1, excluded.n / memory)),
        greatest(excluded.most_us, c.most_us + (c.sum_y / c.n - c.most_us) * least(1, excluded.n / memory)),
        c.error_us * kept + excluded.error_us, c.bias_us * kept + excluded.bias_us,
        c.total_us * kept + excluded.total_us, excluded.updated_at
    FROM (
        SELECT memory, least(1, memory / c.n) AS kept FROM (
            SELECT CASE WHEN abs(c.bias_us + excluded.bias_us) > 0.6::float8 * (c.error_us + excluded.error_us)
                THEN 10.0::float8 ELSE 50.0::float8 END AS memory) AS drift
    ) AS fading
)

-- name: look
-- Take the lock of a pool for this transaction, unless the site may start nothing, and look for work. One statement replaces several that mostly find
-- nothing, since an idle tick is mostly round trips. Runnable lines are probed queue by queue: an empty queue would
-- otherwise be searched for among the lines of all others.
SELECT pg_try_advisory_xact_lock(%(tick_lock)s::int, %(pool_id)s::int) AND
    -- include: site_may_start
    AS is_led,
    NOT EXISTS (SELECT FROM scheduling_pool_clock WHERE pool_id = %(pool_id)s
        AND ticked_at >= now() - interval '1 second' AND broker_away_at IS NULL) AS is_clock_old,
    EXISTS (SELECT FROM scheduling_pool_clock WHERE pool_id = %(pool_id)s AND locked_tenants <> '{}')
        AS is_anybody_locked,
    EXISTS (SELECT FROM scheduling_job_due WHERE due_at <= now()) AS is_due,
    EXISTS (SELECT FROM scheduling_job_held) AS is_held,
    EXISTS (SELECT FROM scheduling_job_held WHERE gate < 'circuit') AS is_keyed_waiting,
    EXISTS (SELECT FROM scheduling_concurrency_key_news) AS is_key_news,
    EXISTS (SELECT FROM scheduling_circuit_news)
        OR EXISTS (SELECT FROM scheduling_circuit_breaker c WHERE c.state = 'open' AND c.until <= now() AND
            -- include: holds_jobs
            )
        OR EXISTS (SELECT FROM scheduling_circuit_breaker c
            WHERE c.state IN ('half_open', 'closing', 'forced_closed') AND (c.state = 'closing' OR
            -- include: holds_jobs
            )) AS is_circuit,
    EXISTS (SELECT FROM scheduling_settled WHERE queue_id = ANY (
    -- include: queues_of_pool
    )) AS is_settled,
    EXISTS (SELECT FROM scheduling_wake WHERE queue_id = ANY (
    -- include: queues_of_pool
    )) AS is_woken,
    EXISTS (SELECT FROM scheduling_execution_live l WHERE l.pool_id = %(pool_id)s AND
    -- include: is_slice_used
    ) AS is_slice_used,
    EXISTS (SELECT FROM scheduling_execution_live
        WHERE pool_id = %(pool_id)s AND hold_id IS NOT NULL AND started_at IS NULL) AS has_held,
    EXISTS (SELECT FROM unnest(
    -- include: queues_of_pool
    ) AS q(id) CROSS JOIN LATERAL (
        SELECT FROM scheduling_schedulingentity e
        WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL ORDER BY e.vruntime LIMIT 1) AS runnable)
    AS is_anybody_runnable;

-- name: set_clock
-- Record when a pool was ticked. Insert missing clocks of the pool and its queues: a copied row without one would fail
-- every tick of all pools.
WITH of_queues AS (
    INSERT INTO scheduling_queue_clock (queue_id, vruntime, virtual_time, floor, was_backlogged)
    SELECT q.id, 0, 0, 0, false FROM scheduling_queue q
    WHERE q.pool_id = %(pool_id)s AND NOT EXISTS (SELECT FROM scheduling_queue_clock c WHERE c.queue_id = q.id)
    ON CONFLICT DO NOTHING
)
INSERT INTO scheduling_pool_clock (pool_id, virtual_time, ticked_at)
SELECT id, 0, now() FROM scheduling_workerpool WHERE id = %(pool_id)s
ON CONFLICT (pool_id) DO UPDATE SET ticked_at = now(), broker_away_at = NULL;

-- fragment: queues_of_pool
ARRAY(SELECT id FROM scheduling_queue WHERE pool_id = %(pool_id)s)

-- name: fold_keys
-- Consume the wakes of a pool and write the lines of keys. Return the number of wakes in each row, with the news of one
-- tenant if there are any. A wake and the job behind it were committed together, so the snapshot of the statement that
-- deletes the first contains the second: no wake is lost.
WITH woken AS (
    DELETE FROM scheduling_wake WHERE ctid = ANY (ARRAY(
        SELECT w.ctid FROM scheduling_wake w JOIN scheduling_queue q ON q.id = w.queue_id
        WHERE q.pool_id = %(pool_id)s AND (%(free)s::uuid[] IS NULL OR w.tenant_id = ANY(%(free)s::uuid[]))
        ORDER BY w.is_bulk LIMIT %(limit)s
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
SELECT woken.count AS wakes, tenant.* FROM (SELECT count(*) FROM woken) woken LEFT JOIN (
    SELECT coalesce(parent_id, id) AS entity_id,
        coalesce(sum(delta) FILTER (WHERE parent_id IS NULL), 0)::int AS delta,
        coalesce(sum(delta) FILTER (WHERE parent_id IS NOT NULL), 0)::int AS keys_delta
    FROM news GROUP BY 1
) tenant ON true;

-- name: fold_tenants
-- Write the lines of tenants with news, after those of their keys. A tenant that returns starts at the virtual time of
-- what runs. The clock is ahead of that by what waits in lists, so it is set back with the tenant, since it never
-- exceeds an eligible one.
WITH waiting AS MATERIALIZED (
    SELECT e.queue_id, min(e.vruntime - h.service)::bigint AS start_tag
    FROM (
        SELECT coalesce(line.parent_id, line.id) AS entity_id,
            sum(div(l.predicted_us::numeric * 1000000, l.weight_milli)) AS service
        FROM scheduling_execution_live l JOIN scheduling_schedulingentity line ON line.id = l.entity_id
        WHERE l.hold_id IS NOT NULL AND l.started_at IS NULL AND l.queue_id = ANY(ARRAY(
            SELECT o.queue_id FROM scheduling_schedulingentity o WHERE o.id = ANY(%(ids)s::bigint[])))
        GROUP BY 1
    ) h JOIN scheduling_schedulingentity e ON e.id = h.entity_id GROUP BY 1
), recomputed AS MATERIALIZED (
    -- Once, also in a plan made while the tables were empty, which would repeat it for each line.
    SELECT e.id, n.delta, n.keys_delta, own.rank AS own_rank, least(own.rank, key.head_rank) AS head_rank,
        -- include: tenant_weight
        AS weight_milli,
        (own.rank IS NOT NULL OR key.head_rank IS NOT NULL) AND t.status = 'active' AND NOT t.is_paused
            AND (t.allowed_regions = '{}' OR (SELECT w.region FROM scheduling_queue q JOIN scheduling_workerpool w
                ON w.id = q.pool_id WHERE q.id = e.queue_id) = ANY(t.allowed_regions))
            AND coalesce(c.in_flight, 0) <
            -- include: tenant_cap
            AND
            -- include: has_monthly_quota
            AS is_runnable,
        clock.virtual_time
    FROM unnest(%(ids)s::bigint[], %(deltas)s::int[], %(keys_deltas)s::int[]) AS n(id, delta, keys_delta)
        -- OFFSET puts these first, also in a plan made while the other tables were almost empty.
        CROSS JOIN LATERAL (SELECT * FROM scheduling_schedulingentity o WHERE o.id = n.id OFFSET 0) e
        -- A queue that was copied in has none yet; the wakes are consumed by this statement all the same.
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
), entity AS (
    UPDATE scheduling_schedulingentity e SET
        waiting = e.waiting + l.delta,
        keys_waiting = e.keys_waiting + l.keys_delta,
        head_rank = coalesce(l.head_rank, e.head_rank),
        own_rank = l.own_rank,
        weight_milli = l.weight_milli,
        is_runnable = l.is_runnable,
        vruntime = CASE WHEN l.is_runnable AND NOT e.is_runnable THEN greatest(e.vruntime, least(l.virtual_time,
                (SELECT w.start_tag FROM waiting w WHERE w.queue_id = e.queue_id)))
            ELSE e.vruntime END,
        own_vruntime = CASE WHEN l.own_rank IS NOT NULL AND e.own_rank IS NULL
            THEN greatest(e.own_vruntime, e.virtual_time) ELSE e.own_vruntime END
    FROM recomputed l WHERE e.id = l.id
    RETURNING e.queue_id, e.vruntime, e.is_runnable
)
UPDATE scheduling_queue_clock c SET
    virtual_time = greatest(n.vruntime, (SELECT w.start_tag FROM waiting w WHERE w.queue_id = c.queue_id)),
    floor = least(c.floor, n.vruntime)
FROM (SELECT queue_id, min(vruntime) AS vruntime FROM entity WHERE is_runnable GROUP BY 1) n
WHERE c.queue_id = n.queue_id AND n.vruntime < c.virtual_time
    AND (SELECT w.start_tag FROM waiting w WHERE w.queue_id = c.queue_id) < c.virtual_time;

-- name: count_due
-- Count due jobs, up to a limit.
SELECT count(*) FROM (SELECT 1 FROM scheduling_job_due WHERE due_at <= now() LIMIT %(limit)s) AS due;

-- name: stage_due
-- Make due jobs available, oldest first; return how many.
WITH chosen AS (
    SELECT d.job_id FROM scheduling_job_due d JOIN scheduling_job j ON j.id = d.job_id WHERE d.due_at <= now()
    ORDER BY d.due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
), due AS (
    DELETE FROM scheduling_job_due d USING chosen c WHERE d.job_id = c.job_id
    RETURNING d.job_id, d.tenant_id, d.entity_id, d.kind, d.rank, d.payload_bytes, d.used_us
), job AS (
    UPDATE scheduling_job j SET state = 'available'
    FROM due d WHERE j.id = d.job_id AND j.state IN ('scheduled', 'retryable')
    RETURNING j.id, j.queue_id, j.merge_disabled, j.concurrency_key
), ready AS (
    INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, merge_disabled,
        concurrency_key)
    SELECT d.tenant_id, d.entity_id, d.rank, d.job_id, d.kind, d.payload_bytes, d.used_us, j.merge_disabled,
        j.concurrency_key
    FROM due d JOIN job j ON j.id = d.job_id
), numbered AS (
    SELECT d.tenant_id, d.entity_id, d.job_id, j.queue_id, row_number() OVER () AS n
    FROM due d JOIN job j ON j.id = d.job_id
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT (%(event_ids)s::uuid[])[n], tenant_id, job_id, NULL, statement_timestamp(), 'job.available', 'available',
        'system', '', '{}'
    FROM numbered
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, 0 FROM numbered GROUP BY 1, 2, 3
)
SELECT count(*) FROM numbered;

-- name: stage_held
-- Make jobs ready whose gate has opened, oldest first; return how many. Gates and kinds are found by hopping over the
-- index (gate, kind, rank), one probe each: a tick must not read a million held jobs of a paused kind to find that they
-- stay. Breakers sort before these gates and have statements of their own, since each tenant may have many.
WITH RECURSIVE gate_scan AS (
    (SELECT gate, kind FROM scheduling_job_held WHERE gate >= 'kind' ORDER BY gate, kind LIMIT 1)
    UNION ALL
    SELECT next.gate, next.kind FROM gate_scan CROSS JOIN LATERAL (
        SELECT h.gate, h.kind FROM scheduling_job_held h WHERE (h.gate, h.kind) > (gate_scan.gate, gate_scan.kind)
        ORDER BY h.gate, h.kind LIMIT 1
    ) next
), opened AS (
    SELECT gate, kind FROM gate_scan WHERE CASE
        WHEN gate = 'kind' THEN NOT EXISTS (SELECT FROM scheduling_kindpause p WHERE p.kind = gate_scan.kind)
        WHEN gate LIKE 'unknown %%' THEN EXISTS (SELECT FROM scheduling_workerpool p
            WHERE 'unknown ' || p.id = gate_scan.gate AND coalesce(p.kinds ? gate_scan.kind, true))
        WHEN gate LIKE 'region %%' THEN NOT EXISTS (SELECT FROM scheduling_region_label l, scheduling_workerpool p
            WHERE l.id = split_part(gate_scan.gate, ' ', 2)::bigint AND p.id = split_part(gate_scan.gate, ' ', 3)::int
                AND l.allowed_regions <> '{}' AND p.region <> ALL(l.allowed_regions))
        ELSE coalesce((%(needs)s::jsonb ->> gate_scan.kind)::int, 0) <= (
            SELECT max(p.memory_mib) FROM scheduling_workerpool p WHERE 'memory ' || p.id = gate_scan.gate)
    END
), candidate AS (
    SELECT h.job_id, h.rank FROM opened o CROSS JOIN LATERAL (
        SELECT job_id, rank FROM scheduling_job_held WHERE gate = o.gate AND kind = o.kind ORDER BY rank LIMIT %(limit)s
    ) h
    ORDER BY h.rank LIMIT %(limit)s
), chosen AS (
    SELECT h.job_id FROM scheduling_job_held h JOIN candidate USING (job_id) FOR NO KEY UPDATE OF h SKIP LOCKED
), held AS (
    DELETE FROM scheduling_job_held h USING chosen c WHERE h.job_id = c.job_id
    RETURNING h.*
), ready AS (
    INSERT INTO scheduling_job_ready (
    -- include: ready_columns
    ) SELECT
    -- include: ready_columns
    FROM held
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT DISTINCT h.tenant_id, h.entity_id, e.queue_id, 0
    FROM held h JOIN scheduling_schedulingentity e ON e.id = h.entity_id
)
SELECT count(*) FROM held;

-- name: hold_gated
-- Set the first ready jobs of lines aside that have a gate; return the lines whose such jobs others have locked. A gate
-- before the head of a tenant's jobs must not hide its other kinds, so far more jobs are read than a pick reads. Of the
-- jobs with a concurrency key those stay, in each queue the first by rank, for which the key has room.
WITH first_jobs AS (
    SELECT r.entity_id, r.rank, r.job_id, r.tenant_id, r.kind, r.concurrency_key, l.queue_id,
    -- include: gate_before
    AS gate
    FROM (SELECT %(pool_id)s::int AS pool_id) q
        CROSS JOIN unnest(%(entity_ids)s::bigint[], %(limits)s::int[]) AS e(id, n)
        CROSS JOIN LATERAL (
            SELECT tenant_id, entity_id, rank, job_id, kind, concurrency_key FROM scheduling_job_ready
            WHERE entity_id = e.id ORDER BY rank, job_id LIMIT e.n
        ) r
        CROSS JOIN LATERAL (SELECT queue_id FROM scheduling_schedulingentity WHERE id = e.id LIMIT 1) l
), head AS (
    SELECT k.entity_id, k.rank, k.job_id, CASE
        WHEN k.gate IS NOT NULL THEN k.gate
        WHEN k.concurrency_key IS NOT NULL AND k.nth + coalesce((
            SELECT c.in_flight FROM scheduling_concurrency_key c WHERE c.tenant_id = k.tenant_id AND c.kind = k.kind
                AND c.concurrency_key = k.concurrency_key), 0) >
            -- include: limit_of_key
        THEN 'cap ' || k.queue_id END AS gate
    FROM (SELECT *, row_number() OVER (PARTITION BY gate IS NULL, tenant_id, kind, concurrency_key, queue_id
        ORDER BY rank, job_id) AS nth FROM first_jobs) k
), free AS (
    SELECT r.entity_id, r.rank, r.job_id, p.gate
    FROM head p JOIN scheduling_job_ready r
        ON r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
        JOIN scheduling_job j ON j.id = r.job_id
    -- The held row refers to the job.
    WHERE p.gate IS NOT NULL FOR NO KEY UPDATE OF r SKIP LOCKED FOR KEY SHARE OF j SKIP LOCKED
), deleted_rows AS (
    DELETE FROM scheduling_job_ready r USING free p
    WHERE r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
    RETURNING r.*, p.gate
), held AS (
    INSERT INTO scheduling_job_held (gate,
    -- include: ready_columns
    ) SELECT gate,
    -- include: ready_columns
    FROM deleted_rows
), key_news AS (
    -- The key may have become free since it was read. A breaker may hold this job and no other of its key.
    INSERT INTO scheduling_concurrency_key_news (tenant_id, kind, concurrency_key, ended)
    SELECT DISTINCT tenant_id, kind, concurrency_key, 0 FROM deleted_rows
    WHERE concurrency_key IS NOT NULL AND (gate LIKE 'cap %%' OR gate LIKE 'circuit %%')
)
SELECT DISTINCT entity_id FROM head p
WHERE gate IS NOT NULL AND NOT EXISTS (SELECT FROM deleted_rows g WHERE g.job_id = p.job_id);
