-- name: read_rows
-- Read the first ready jobs of lines with their predicted costs and the gates before them.
SELECT a.entity_id, r.rank, r.job_id, r.kind,
    -- A rate counts jobs, so those of a queue that has one do not travel together.
    r.travels_alone OR q.dispatches_per_minute IS NOT NULL AS travels_alone,
    -- include: predicted_us
    AS predicted_us,
    -- include: gate_before
    AS gate
FROM unnest(%(entity_ids)s::bigint[], %(asked)s::int[]) AS a(entity_id, asked)
    -- With a limit each row is found by its key: for a few thousand tenants the planner would rather read all.
    CROSS JOIN LATERAL (SELECT queue_id FROM scheduling_schedulingentity WHERE id = a.entity_id LIMIT 1) e
    JOIN scheduling_queue q ON q.id = e.queue_id
    CROSS JOIN LATERAL (
        SELECT * FROM scheduling_job_ready r WHERE r.entity_id = a.entity_id
          AND (%(kind)s::text IS NULL OR r.kind = %(kind)s)
        ORDER BY r.rank, r.job_id LIMIT a.asked
    ) r
    -- include: cost_sums
ORDER BY a.entity_id, r.rank, r.job_id;
