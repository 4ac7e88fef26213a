-- name: request_cancel
-- Request the cancellation of executions in flight. Executions are locked in one order everywhere, so that two
-- transactions that lock several do not deadlock.
WITH ids AS (
    SELECT l.id, ids.event_id FROM scheduling_execution_live l
        JOIN unnest(%(job_ids)s::uuid[], %(event_ids)s::uuid[]) AS ids(job_id, event_id) USING (job_id)
    ORDER BY l.id FOR NO KEY UPDATE OF l
), asked AS (
    UPDATE scheduling_execution_live l SET cancel_requested_at = coalesce(l.cancel_requested_at, now())
    FROM ids WHERE l.id = ids.id
    RETURNING l.id, l.tenant_id, l.job_id, l.fence, l.started_at IS NOT NULL AS has_begun, ids.event_id
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, id, statement_timestamp(), 'job.cancel_requested', 'executing',
        %(actor)s::text, %(request_id)s::text, jsonb_build_object('reason', %(reason)s::text)
    FROM asked WHERE has_begun
)
SELECT id AS execution_id, job_id, fence, has_begun FROM asked;
