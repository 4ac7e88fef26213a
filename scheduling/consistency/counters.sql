-- fragment: entities_in_page
-- The lines of a page of tenants.
(SELECT * FROM scheduling_schedulingentity WHERE
    -- include: in_page
) AS e

-- fragment: of_entities
-- Condition that a row belongs to a line of a page of tenants; uses the index of ready jobs, the largest table.
entity_id IN (SELECT id FROM
    -- include: entities_in_page
)

-- name: find_waiting
-- Find lines with a wrong count of waiting jobs.
WITH counted AS (
    SELECT entity_id, sum(jobs) AS jobs FROM (
        SELECT entity_id, count(*) AS jobs FROM scheduling_job_ready WHERE
        -- include: of_entities
        GROUP BY 1
        UNION ALL SELECT entity_id, count(*) FROM scheduling_job_due WHERE
        -- include: of_entities
        GROUP BY 1
        UNION ALL SELECT entity_id, count(*) FROM scheduling_job_held WHERE
        -- include: of_entities
        GROUP BY 1
    ) AS places GROUP BY 1
), news AS (
    SELECT entity_id, sum(waiting_delta) AS jobs FROM scheduling_wake WHERE
    -- include: in_page
    GROUP BY 1
)
SELECT e.tenant_id, 'entity ' || e.id AS "row", e.waiting + coalesce(n.jobs, 0) AS counted,
    coalesce(c.jobs, 0) AS recounted FROM
-- include: entities_in_page
LEFT JOIN news n ON n.entity_id = e.id LEFT JOIN counted c ON c.entity_id = e.id
WHERE e.waiting + coalesce(n.jobs, 0) <> coalesce(c.jobs, 0) LIMIT %(limit)s;

-- name: find_in_flight
-- Find lines with a wrong count of messages in flight.
WITH counted AS (
    SELECT entity_id, count(DISTINCT message_id) AS messages FROM (
        SELECT entity_id, message_id FROM scheduling_execution_live WHERE
        -- include: in_page
        UNION ALL SELECT entity_id, message_id FROM scheduling_settled WHERE
        -- include: in_page
    ) AS executions GROUP BY 1
)
SELECT e.tenant_id, 'entity ' || e.id AS "row", e.in_flight AS counted, coalesce(c.messages, 0) AS recounted FROM
-- include: entities_in_page
LEFT JOIN counted c ON c.entity_id = e.id
WHERE e.in_flight <> coalesce(c.messages, 0) LIMIT %(limit)s;

-- name: find_keys_waiting
-- Find lines of tenants with a wrong sum of the waiting jobs of their keys. Each job counts in one line; a tenant's row
-- sums those of its keys.
SELECT e.tenant_id, 'entity ' || e.id AS "row", e.keys_waiting AS counted, coalesce(sum(k.waiting), 0) AS recounted FROM
-- include: entities_in_page
LEFT JOIN scheduling_schedulingentity k ON k.parent_id = e.id
WHERE e.parent_id IS NULL GROUP BY e.tenant_id, e.id, e.keys_waiting
HAVING e.keys_waiting <> coalesce(sum(k.waiting), 0) LIMIT %(limit)s;

-- name: find_keys_in_flight
-- Find lines of tenants with a wrong sum of the messages in flight of their keys.
SELECT e.tenant_id, 'entity ' || e.id AS "row", e.keys_in_flight AS counted, coalesce(sum(k.in_flight), 0) AS recounted
FROM
-- include: entities_in_page
LEFT JOIN scheduling_schedulingentity k ON k.parent_id = e.id
WHERE e.parent_id IS NULL GROUP BY e.tenant_id, e.id, e.keys_in_flight
HAVING e.keys_in_flight <> coalesce(sum(k.in_flight), 0) LIMIT %(limit)s;

-- name: find_capacity
-- Find tenants with a wrong count of messages in flight.
WITH counted AS (
    SELECT tenant_id, count(DISTINCT message_id) AS messages FROM (
        SELECT tenant_id, message_id FROM scheduling_execution_live WHERE
        -- include: in_page
        UNION ALL SELECT tenant_id, message_id FROM scheduling_settled WHERE
        -- include: in_page
    ) AS executions GROUP BY 1
)
SELECT t.tenant_id, 'tenant ' || t.tenant_id AS "row", t.in_flight AS counted, coalesce(c.messages, 0) AS recounted
FROM (SELECT * FROM scheduling_tenant_capacity WHERE
    -- include: in_page
) AS t LEFT JOIN counted c USING (tenant_id)
WHERE t.in_flight <> coalesce(c.messages, 0) LIMIT %(limit)s;

-- name: find_concurrency_keys
-- Find concurrency keys with a wrong count of jobs in flight. A job is in flight until a tick has read that it ended.
SELECT tenant_id, 'concurrency_key ' || kind || ' ' || concurrency_key AS "row", sum(counted) AS counted,
    sum(recounted) AS recounted FROM (
    SELECT tenant_id, kind, concurrency_key, in_flight AS counted, 0 AS recounted FROM scheduling_concurrency_key
    UNION ALL SELECT tenant_id, kind, concurrency_key, 0, 1 FROM scheduling_execution_live
    UNION ALL SELECT tenant_id, kind, concurrency_key, 0, ended FROM scheduling_concurrency_key_news
) AS keys WHERE concurrency_key IS NOT NULL AND
-- include: in_page
GROUP BY tenant_id, kind, concurrency_key HAVING sum(counted) <> sum(recounted) LIMIT %(limit)s;

-- name: find_stranded
-- Find concurrency keys for which jobs wait although none is left whose end would admit them.
SELECT tenant_id, 'concurrency_key ' || kind || ' ' || concurrency_key AS "row", 0 AS counted, count(*) AS recounted
FROM (
    SELECT tenant_id, kind, concurrency_key, gate < 'circuit' AS is_parked FROM scheduling_job_held
    UNION ALL SELECT tenant_id, kind, concurrency_key, false FROM scheduling_job_ready
    UNION ALL SELECT tenant_id, kind, concurrency_key, false FROM scheduling_execution_live
    UNION ALL SELECT tenant_id, kind, concurrency_key, false FROM scheduling_concurrency_key_news
) AS keys WHERE concurrency_key IS NOT NULL AND
-- include: in_page
GROUP BY tenant_id, kind, concurrency_key HAVING bool_and(is_parked) LIMIT %(limit)s;

-- name: find_missing_capacity
-- Find tenants with lines and without a capacity row, without which nothing of the tenant can be claimed.
SELECT DISTINCT e.tenant_id, 'tenant ' || e.tenant_id AS "row", 0 AS counted, 1 AS recounted FROM
-- include: entities_in_page
WHERE NOT EXISTS (SELECT FROM scheduling_tenant_capacity c WHERE c.tenant_id = e.tenant_id)
    AND e.tenant_id NOT IN (SELECT subject_id FROM tenants_tenanterasure WHERE status = 'running')
LIMIT %(limit)s;

-- name: write_lines
-- Write the recounted numbers of a tenant's lines, less the changes in unfolded wakes, which a tick adds when it folds
-- them.
WITH line AS (
    SELECT id FROM scheduling_schedulingentity WHERE tenant_id = %(tenant_id)s
), counted AS (
    SELECT entity_id, sum(jobs) AS jobs FROM (
        SELECT entity_id, count(*) AS jobs FROM scheduling_job_ready
            WHERE entity_id IN (SELECT id FROM line) GROUP BY 1
        UNION ALL SELECT entity_id, count(*) FROM scheduling_job_due
            WHERE entity_id IN (SELECT id FROM line) GROUP BY 1
        UNION ALL SELECT entity_id, count(*) FROM scheduling_job_held
            WHERE entity_id IN (SELECT id FROM line) GROUP BY 1
    ) AS places GROUP BY 1
), news AS (
    SELECT entity_id, sum(waiting_delta) AS jobs FROM scheduling_wake WHERE tenant_id = %(tenant_id)s GROUP BY 1
), flying AS (
    SELECT entity_id, count(DISTINCT message_id) AS messages FROM (
        SELECT entity_id, message_id FROM scheduling_execution_live WHERE tenant_id = %(tenant_id)s
        UNION ALL SELECT entity_id, message_id FROM scheduling_settled WHERE tenant_id = %(tenant_id)s
    ) AS executions GROUP BY 1
)
UPDATE scheduling_schedulingentity e
SET waiting = coalesce(c.jobs, 0) - coalesce(n.jobs, 0), in_flight = coalesce(f.messages, 0)
FROM line LEFT JOIN counted c ON c.entity_id = line.id LEFT JOIN news n ON n.entity_id = line.id
    LEFT JOIN flying f ON f.entity_id = line.id
WHERE e.id = line.id;

-- name: write_keys
-- Write the sums of its keys into a tenant's lines.
UPDATE scheduling_schedulingentity e
SET keys_waiting = coalesce(k.waiting, 0), keys_in_flight = coalesce(k.in_flight, 0)
FROM scheduling_schedulingentity o LEFT JOIN (
    SELECT parent_id, sum(waiting) AS waiting, sum(in_flight) AS in_flight FROM scheduling_schedulingentity
    WHERE tenant_id = %(tenant_id)s AND parent_id IS NOT NULL GROUP BY 1
) k ON k.parent_id = o.id
WHERE e.id = o.id AND o.tenant_id = %(tenant_id)s AND o.parent_id IS NULL;

-- name: write_capacity
-- Write the number of messages that a tenant has in flight.
INSERT INTO scheduling_tenant_capacity (tenant_id, in_flight)
SELECT %(tenant_id)s, count(DISTINCT message_id) FROM (
    SELECT message_id FROM scheduling_execution_live WHERE tenant_id = %(tenant_id)s
    UNION ALL SELECT message_id FROM scheduling_settled WHERE tenant_id = %(tenant_id)s
) AS executions
ON CONFLICT (tenant_id) DO UPDATE SET in_flight = excluded.in_flight;

-- name: delete_concurrency_keys
-- Delete the counters of a tenant's concurrency keys.
DELETE FROM scheduling_concurrency_key WHERE tenant_id = %(tenant_id)s;

-- name: write_concurrency_keys
-- Write the recounted jobs in flight of a tenant's concurrency keys, with those whose end no tick has read.
INSERT INTO scheduling_concurrency_key (tenant_id, kind, concurrency_key, in_flight)
SELECT tenant_id, kind, concurrency_key, sum(jobs) FROM (
    SELECT tenant_id, kind, concurrency_key, 1 AS jobs FROM scheduling_execution_live
    UNION ALL SELECT tenant_id, kind, concurrency_key, ended FROM scheduling_concurrency_key_news
) AS executions WHERE tenant_id = %(tenant_id)s AND concurrency_key IS NOT NULL GROUP BY 1, 2, 3 HAVING sum(jobs) > 0;

-- name: admit_again
-- Let the next tick admit jobs of all concurrency keys for which jobs of a tenant wait.
INSERT INTO scheduling_concurrency_key_news (tenant_id, kind, concurrency_key, ended)
SELECT DISTINCT tenant_id, kind, concurrency_key, 0 FROM scheduling_job_held
WHERE tenant_id = %(tenant_id)s AND concurrency_key IS NOT NULL;
