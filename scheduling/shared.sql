-- Fragments that statements of several modules include. Each names the aliases that it reads.

-- fragment: tenant_weight
-- The weight of tenant ``t`` with plan ``p`` in thousandths: at least 1, and at most what the column can store, since
-- an overflow would fail every tick.
greatest(1, least(2147483647, round(p.weight * t.weight_factor * 1000)))::int

-- fragment: queue_weight
-- The weight of queue ``q`` in the active CFS plan, else its own.
coalesce((SELECT max(t.weight) FROM scheduling_cfsplantier t
    JOIN scheduling_cfsplan p ON p.id = t.plan_id AND p.is_active
    WHERE q.id IN (t.queue_id, t.io_queue_id)), q.weight)

-- fragment: worker_time_limit_us
-- The worker time that tenant ``t`` may use in a month: its override, else the value of its plan ``p``. The upper bound
-- keeps an unchecked value from overflowing in every tick.
1000000 * least(9000000000000, coalesce((
    SELECT l.value FROM tenants_tenantlimit l WHERE l.tenant_id = t.id AND l.key = 'worker_seconds_per_month'
        AND (l.expires_at IS NULL OR l.expires_at > now())), p.worker_seconds_per_month))

-- fragment: resource_limit
-- The limit of tenant ``t`` for the counter with the key of row ``r``, in the unit of the counter; NULL without one.
-- Numeric, so that no unchecked value overflows in every tick.
CASE r.key WHEN 'cpu_seconds_per_month' THEN 1000000 ELSE 1048576::numeric END * coalesce(
    (SELECT l.value FROM tenants_tenantlimit l WHERE l.tenant_id = t.id AND l.key = r.key
        AND (l.expires_at IS NULL OR l.expires_at > now())),
    (SELECT l.value FROM tenants_planlimit l WHERE l.plan_id = t.plan_id AND l.key = r.key))

-- fragment: memory_limit
-- The MiB that the messages in flight of tenant ``t`` may need together; NULL without a limit.
coalesce((SELECT o.value FROM tenants_tenantlimit o WHERE o.tenant_id = t.id AND o.key = 'memory_mib_now'
        AND (o.expires_at IS NULL OR o.expires_at > now())),
    (SELECT r.value FROM tenants_planlimit r WHERE r.plan_id = t.plan_id AND r.key = 'memory_mib_now'))

-- fragment: memory_in_use
-- The MiB that the messages in flight of tenant ``t`` need by their memory classes; all jobs of a message are of one
-- kind, and those of I/O pools share processes.
SELECT coalesce(sum(m.mib), 0) FROM (
    SELECT max(coalesce((%(needs)s::jsonb ->> l.kind)::int, 256)) AS mib
    FROM scheduling_execution_live l JOIN scheduling_workerpool w ON w.id = l.pool_id
    WHERE l.tenant_id = t.id AND w.resource_class <> 'io' GROUP BY l.message_id
) m

-- fragment: used_up_resources
-- The keys of the limits of processor time and storage traffic that tenant ``t`` has used up in this month. The limits
-- are read first: most tenants have none.
SELECT r.key FROM (
    SELECT key FROM tenants_tenantlimit l WHERE l.tenant_id = t.id
        AND l.key IN ('cpu_seconds_per_month', 'io_mib_per_month')
    UNION ALL SELECT key FROM tenants_planlimit l WHERE l.plan_id = t.plan_id
        AND l.key IN ('cpu_seconds_per_month', 'io_mib_per_month')
) r WHERE coalesce((
    SELECT u.amount FROM tenants_tenantusage u WHERE u.tenant_id = t.id AND u.key = r.key AND u.period =
    -- include: this_month
), 0) >=
-- include: resource_limit

-- fragment: has_monthly_quota
-- Whether tenant ``t`` with plan ``p`` has worker time, processor time and storage traffic left in this month.
(NOT EXISTS (
    -- include: used_up_resources
) AND coalesce((
    SELECT u.amount FROM tenants_tenantusage u
    WHERE u.tenant_id = t.id AND u.key = 'worker_seconds_per_month' AND u.period =
    -- include: this_month
), 0) <
-- include: worker_time_limit_us
)

-- fragment: measured_charge
-- What a row's measured time costs at its rate, in whole microseconds: rounded down, so that charges add up to it.
div(measured_us::numeric * rate_milli, 1000)

-- fragment: predicted_charge
-- What a row's predicted time costs at its rate, likewise.
div(predicted_us::numeric * rate_milli, 1000)

-- fragment: is_slice_used
-- Whether live execution ``l`` has run for its slice under the active plan, and for all that it was charged. The first
-- condition is one time for all rows and leaves few for the second. An execution charged for the longest possible time
-- is charged no more: only a clock that was set makes it seem to continue.
l.started_at <= (SELECT now() - p.granularity_seconds * interval '1 second'
    FROM scheduling_cfsplan p WHERE p.is_active AND p.strategy = 'time_slice')
AND l.predicted_us < %(most_us)s AND l.started_at <= now() - l.predicted_us * interval '1 microsecond'

-- fragment: gate_before
-- The name of the gate before ready row ``r`` in the pool of ``q``; NULL without one.
CASE
    WHEN EXISTS (SELECT FROM scheduling_kindpause k WHERE k.kind = r.kind) THEN 'kind'
    WHEN (SELECT NOT p.kinds ? r.kind FROM scheduling_workerpool p WHERE p.id = q.pool_id) THEN 'unknown ' || q.pool_id
    WHEN (%(needs)s::jsonb ->> r.kind)::int > (SELECT p.memory_mib FROM scheduling_workerpool p WHERE p.id = q.pool_id)
        THEN 'memory ' || q.pool_id
    -- The labels are read once a statement: jobs of tenants without one are looked up nowhere.
    WHEN r.tenant_id = ANY(ARRAY(SELECT l.tenant_id FROM scheduling_region_label l WHERE l.allowed_regions <> '{}'))
        AND EXISTS (SELECT
-- include: label_elsewhere
        ) THEN 'region ' || (SELECT l.id
-- include: label_elsewhere
        ) || ' ' || q.pool_id
    -- One index probe shows whether any breaker of the kind is open.
    WHEN EXISTS (SELECT FROM scheduling_circuit_breaker a
        WHERE a.kind = r.kind AND a.state IN ('open', 'half_open', 'forced_open')) THEN 'circuit ' ||
-- include: circuit_before
END

-- fragment: label_elsewhere
-- From the label of the data that ready row ``r`` is about, if it does not allow the region of the pool of ``q``.
FROM scheduling_job_subject s JOIN scheduling_region_label l ON l.tenant_id = s.tenant_id AND l.subject = s.subject
WHERE s.job_id = r.job_id AND l.allowed_regions <> '{}'
    AND (SELECT p.region FROM scheduling_workerpool p WHERE p.id = q.pool_id) <> ALL(l.allowed_regions)

-- fragment: ready_columns
-- The columns of ready rows, which held rows have too.
tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, merge_disabled, concurrency_key

-- fragment: limit_of_key
-- How many jobs of a concurrency key with the kind of ``k`` may be in flight; 1 is the usual limit of the kit.
coalesce((%(key_limits)s::jsonb ->> k.kind)::int, 1)

-- fragment: circuit_before
-- The id of the breaker before job ``r`` with ``job_id``, ``tenant_id`` and ``kind``; NULL without one. Breakers of the
-- kind as a whole come first, then those of the dependencies that it has used, of its tenant or shared. The one that
-- stays open longest is chosen, so that a job that needs several does not move from one to the next.
(SELECT b.id FROM (
    SELECT c.id, c.state, c.until FROM scheduling_circuit_breaker c
    WHERE c.tenant_id = r.tenant_id AND c.kind = r.kind AND c.holds_all
        AND c.state IN ('open', 'half_open', 'forced_open') AND c.probe_job_id IS DISTINCT FROM r.job_id
    UNION ALL SELECT c.id, c.state, c.until FROM scheduling_circuit_breaker c
    WHERE c.tenant_id IS NULL AND c.kind = r.kind AND c.holds_all
        AND c.state IN ('open', 'half_open', 'forced_open') AND c.probe_job_id IS DISTINCT FROM r.job_id
    UNION ALL SELECT c.id, c.state, c.until FROM scheduling_job n JOIN scheduling_circuit_breaker c
        ON c.tenant_id = r.tenant_id AND c.kind = r.kind AND c.dependency = ANY(n.dependencies)
    WHERE n.id = r.job_id
        AND c.state IN ('open', 'half_open', 'forced_open') AND c.probe_job_id IS DISTINCT FROM r.job_id
    UNION ALL SELECT c.id, c.state, c.until FROM scheduling_job n JOIN scheduling_circuit_breaker c
        ON c.tenant_id IS NULL AND c.kind = r.kind AND c.dependency = ANY(n.shared_dependencies)
    WHERE n.id = r.job_id
        AND c.state IN ('open', 'half_open', 'forced_open') AND c.probe_job_id IS DISTINCT FROM r.job_id
) b ORDER BY b.state <> 'forced_open', b.until DESC NULLS FIRST, b.id LIMIT 1)

-- fragment: is_behind
-- Whether job ``h`` is behind breaker ``c``; the second line matches the index.
h.gate = 'circuit ' || c.id
AND h.gate >= 'circuit' AND h.gate < 'kind'

-- fragment: holds_jobs
-- Whether any job is behind breaker ``c``. OFFSET keeps it an index probe for each breaker, which no plan turns into a
-- read of all held jobs.
EXISTS (SELECT FROM scheduling_job_held h WHERE
-- include: is_behind
OFFSET 0)

-- fragment: cost_sums
-- The predictor's sums for row ``r`` with ``tenant_id``, ``kind`` and ``payload_bytes``: those of its tenant and kind,
-- and those of its kind. OFFSET makes each a look-up per row, also in a generic plan, which would rather read the costs
-- of all tenants.
LEFT JOIN LATERAL (SELECT
-- include: whole_us
AS whole_us
    FROM scheduling_tenant_kind_cost c WHERE c.tenant_id = r.tenant_id AND c.kind = r.kind OFFSET 0) tc ON true
LEFT JOIN LATERAL (SELECT
-- include: whole_us
AS whole_us FROM scheduling_kind_cost c WHERE c.kind = r.kind OFFSET 0) kc ON true

-- fragment: whole_us
-- The slot time of a whole job by the sums ``c``. The arithmetic and the numbers are those of
-- ``scheduling.fairness.prediction``, operation by operation.
least(greatest(c.sum_y / c.n + CASE
    WHEN c.n >= 8.0
        AND c.n * c.sum_xx - c.sum_x * c.sum_x > 1e-09::float8 * c.n * c.sum_xx
        AND (c.n * c.sum_xy - c.sum_x * c.sum_y) * (c.n * c.sum_xy - c.sum_x * c.sum_y)
            >= 0.3::float8 * (c.n * c.sum_xx - c.sum_x * c.sum_x) * (c.n * c.sum_yy - c.sum_y * c.sum_y)
    THEN (c.n * c.sum_xy - c.sum_x * c.sum_y) / (c.n * c.sum_xx - c.sum_x * c.sum_x)
        * (r.payload_bytes::float8 - c.sum_x / c.n)
    ELSE 0 END, c.least_us), c.most_us)

-- fragment: predicted_us
-- The slot time that job ``r`` in queue ``q`` still needs, in microseconds, at least 1, by the rows that ``cost_sums``
-- joins.
(SELECT greatest(1, round(greatest(p.whole - r.used_us, p.whole * 0.1::float8)))::bigint
FROM (SELECT coalesce(tc.whole_us, kc.whole_us, q.expected_seconds * 1000000)::float8 AS whole OFFSET 0) p)

-- fragment: piece_by_job
-- Whether a row is in a piece of a walk by ``job_id``.
job_id > %(after_job_id)s::uuid AND job_id <= %(until_job_id)s::uuid AND
-- include: piece_of_tenant

-- fragment: piece_by_rank
-- Whether a row is in a piece of a walk by ``(entity_id, rank, job_id)``.
(entity_id, rank, job_id) > (%(after_entity_id)s::bigint, %(after_rank)s::bigint, %(after_job_id)s::uuid)
AND (entity_id, rank, job_id) <= (%(until_entity_id)s::bigint, %(until_rank)s::bigint, %(until_job_id)s::uuid) AND
-- include: piece_of_tenant

-- fragment: slot_sharers
-- The number of executions that share the slot of a live execution: those of its message, but in a list that is held,
-- only the one that has begun; NULL for one that waits there, which has no part in a slot.
CASE WHEN hold_id IS NULL OR NOT is_list THEN count(*) OVER (PARTITION BY message_id)
    WHEN started_at IS NOT NULL THEN 1 END

-- fragment: site_may_start
-- Whether the site may start work: no witness guards it, or it has renewed its epoch there in time.
NOT EXISTS (SELECT FROM scheduling_site WHERE starts_until <= statement_timestamp())

-- fragment: next_of_hold
-- The first execution of ``next_ids`` that may begin in hold ``hold_id``, if ``turn`` has a row. What follows the
-- fragment says what happens with locked rows.
    SELECT l.id, n.event_id
    FROM turn CROSS JOIN unnest(%(next_ids)s::uuid[], %(next_event_ids)s::uuid[]) WITH ORDINALITY
            AS n(id, event_id, position)
        JOIN scheduling_execution_live l ON l.id = n.id JOIN scheduling_job j ON j.id = l.job_id
    WHERE l.hold_id = %(hold_id)s AND l.started_at IS NULL AND l.cancel_requested_at IS NULL
        AND j.state = 'dispatched' AND j.fence = l.fence AND
        -- include: site_may_start
    ORDER BY n.position LIMIT 1 FOR NO KEY UPDATE OF l, j

-- fragment: begin_next
-- Begin the execution that ``next`` has.
begun AS (
    UPDATE scheduling_execution_live l SET
        started_at = statement_timestamp(), fence = l.fence + 1,
        lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
    FROM next WHERE l.id = next.id
    RETURNING l.id, l.tenant_id, l.job_id, l.number, l.fence, l.worker_id, l.started_at, next.event_id
), begun_job AS (
    UPDATE scheduling_job j SET
        state = 'executing', fence = b.fence, started_at = coalesce(j.started_at, b.started_at)
    FROM begun b WHERE j.id = b.job_id
    RETURNING j.id, j.unique_until
), begun_key AS (
    DELETE FROM scheduling_unique_key u
    WHERE u.job_id = ANY(ARRAY(SELECT id FROM begun_job WHERE unique_until = 'started'))
), begun_event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, id, started_at, 'execution.started', 'executing', 'system', '',
        jsonb_build_object('number', number, 'worker', worker_id)
    FROM begun
)

-- fragment: sum_wait
-- Sum of the histograms of waits of a group of rows, bucket by bucket.
ARRAY[sum(wait[1]), sum(wait[2]), sum(wait[3]), sum(wait[4]), sum(wait[5]), sum(wait[6]), sum(wait[7]), sum(wait[8]),
    sum(wait[9]), sum(wait[10]), sum(wait[11]), sum(wait[12]), sum(wait[13]), sum(wait[14]), sum(wait[15]),
    sum(wait[16]), sum(wait[17]), sum(wait[18]), sum(wait[19])]::int[]

-- fragment: excuse
-- Why the wait of row ``ended`` does not count as late, by the order of scheduling.objectives.rules.Excuse; NULL if it
-- does. Only minutes before that of its start are read, which no later sample changes.
SELECT CASE WHEN states & 1 > 0 THEN 'pause' WHEN states & 2 > 0 THEN 'cap' WHEN states & 4 > 0 THEN 'quota'
    WHEN states & 8 > 0 THEN 'maintenance' WHEN states & 16 > 0 THEN 'share' END AS excuse
FROM (SELECT bit_or(s.states) AS states FROM scheduling_state_minute s
    WHERE s.tenant_id = ended.tenant_id AND s.queue_id = ended.queue_id
        AND s.minute >= date_trunc('minute', ended.started_at - ended.wait_us * interval '1 microsecond')
        AND s.minute < date_trunc('minute', ended.started_at)) AS found

-- fragment: sum_run
-- Sum of the histograms of run times of a group of rows, bucket by bucket.
ARRAY[sum(run[1]), sum(run[2]), sum(run[3]), sum(run[4]), sum(run[5]), sum(run[6]), sum(run[7]), sum(run[8]),
    sum(run[9]), sum(run[10]), sum(run[11]), sum(run[12]), sum(run[13]), sum(run[14]), sum(run[15]), sum(run[16]),
    sum(run[17]), sum(run[18]), sum(run[19])]::int[]

-- fragment: live
live AS (
    SELECT queue_id, tenant_id, count(*) FILTER (WHERE started_at IS NULL) AS dispatched,
        count(started_at) AS executing, coalesce(round(sum(1000.0 / size)), 0) AS slots_milli,
        coalesce(round(sum(1e6 / size * extract(epoch FROM
            least(greatest(now() - started_at, interval '0'), make_interval(secs => %(window)s))))), 0) AS busy_us
    FROM (
        SELECT queue_id, tenant_id, started_at,
        -- include: slot_sharers
        AS size
        FROM scheduling_execution_live
    ) AS jobs GROUP BY 1, 2
)

-- fragment: oldest
-- The rank of a job orders it inside its tenant only, so the head of each line is read.
lines AS (
    SELECT id, queue_id, tenant_id FROM scheduling_schedulingentity
    WHERE waiting > 0 ORDER BY head_rank LIMIT %(heads)s
), oldest AS (
    SELECT head.queue_id, head.tenant_id, min(j.run_at) AS oldest_at FROM (
        SELECT lines.queue_id, lines.tenant_id, r.job_id FROM lines CROSS JOIN LATERAL (
            SELECT job_id FROM scheduling_job_ready WHERE entity_id = lines.id ORDER BY rank, job_id LIMIT 1
        ) AS r
    ) AS head JOIN scheduling_job j ON j.id = head.job_id GROUP BY 1, 2
)
