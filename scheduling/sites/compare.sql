-- name: read_events
-- Read the next events of jobs after an id.
SELECT id, job_id, name FROM scheduling_jobevent WHERE id > %(after)s ORDER BY id LIMIT %(limit)s;

-- name: find_missing_events
-- Find those ids that no event here has.
SELECT n.id FROM unnest(%(ids)s::uuid[]) AS n(id)
WHERE NOT EXISTS (SELECT FROM scheduling_jobevent e WHERE e.id = n.id);

-- name: read_jobs
-- Read tenant, kind and state of jobs.
SELECT j.id, t.slug, j.kind, j.state FROM scheduling_job j JOIN tenants_tenant t ON t.id = j.tenant_id
WHERE j.id = ANY(%(ids)s::uuid[]);
