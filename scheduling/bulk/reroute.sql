-- Statements that read the backlog for a reroute, from a place on, in key order.

-- name: lock_reroutes
-- Wait for other transactions that start a reroute.
SELECT pg_advisory_xact_lock(%(reroute_lock)s::int, 0);

-- name: count_waiting
-- Count all waiting jobs: those that ticks have counted, plus unfolded changes.
SELECT ((SELECT coalesce(sum(waiting), 0) FROM scheduling_schedulingentity)
    + (SELECT coalesce(sum(waiting_delta), 0) FROM scheduling_wake))::bigint;

-- name: look_ready
-- Read the ready jobs after a place, in the order of their primary key.
SELECT r.job_id, r.kind, p.tier_id,
-- include: residency
, e.queue_id, r.entity_id, r.rank, true AS is_waiting FROM (
    SELECT * FROM scheduling_job_ready
    WHERE (entity_id, rank, job_id) > (%(after_entity)s, %(after_rank)s, %(after_job)s)
    ORDER BY entity_id, rank, job_id LIMIT %(limit)s
) r JOIN scheduling_schedulingentity e ON e.id = r.entity_id
-- include: plan_of_row
ORDER BY r.entity_id, r.rank, r.job_id;

-- name: look_due
-- Read the jobs after an id that are not due yet, in the order of their ids.
SELECT r.job_id, r.kind, p.tier_id,
-- include: residency
, e.queue_id, r.entity_id, r.rank, true AS is_waiting FROM (
    SELECT * FROM scheduling_job_due WHERE job_id > %(after_job)s ORDER BY job_id LIMIT %(limit)s
) r JOIN scheduling_schedulingentity e ON e.id = r.entity_id
-- include: plan_of_row
ORDER BY r.job_id;

-- name: look_held
-- Read the jobs after an id that gates hold, in the order of their ids.
SELECT r.job_id, r.kind, p.tier_id,
-- include: residency
, e.queue_id, r.entity_id, r.rank, true AS is_waiting FROM (
    SELECT * FROM scheduling_job_held WHERE job_id > %(after_job)s ORDER BY job_id LIMIT %(limit)s
) r JOIN scheduling_schedulingentity e ON e.id = r.entity_id
-- include: plan_of_row
ORDER BY r.job_id;

-- name: look_suspended
-- Read the suspended jobs among the jobs after an id. An index by state would add cost to every change of state, so
-- jobs are read in the order of their ids; the last one read is returned too, as the place from which to continue.
WITH page_rows AS (
    SELECT id, id AS job_id, tenant_id, queue_id, kind, rank, state FROM scheduling_job
    WHERE id > %(after_job)s ORDER BY id LIMIT %(limit)s
), last AS (
    SELECT id FROM page_rows ORDER BY id DESC LIMIT 1
)
SELECT r.id AS job_id, r.kind, p.tier_id,
-- include: residency
, r.queue_id, coalesce(e.id, 0) AS entity_id, r.rank,
    r.state = 'suspended' AND e.id IS NOT NULL AS is_waiting
FROM page_rows r LEFT JOIN scheduling_schedulingentity e
        ON e.tenant_id = r.tenant_id AND e.queue_id = r.queue_id AND e.parent_id IS NULL
-- include: plan_of_row
WHERE r.state = 'suspended' OR r.id = (SELECT id FROM last)
ORDER BY r.id;

-- fragment: plan_of_row
JOIN tenants_tenant t ON t.id = r.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
LEFT JOIN scheduling_job_subject s ON s.job_id = r.job_id
LEFT JOIN scheduling_region_label g ON g.tenant_id = s.tenant_id AND g.subject = s.subject

-- fragment: residency
-- The regions of tenant ``t`` and of the data with label ``g`` that the job is about.
t.home_region, t.allowed_regions, coalesce(g.home_region, '') AS label_home,
    coalesce(g.allowed_regions, '{}') AS label_regions
