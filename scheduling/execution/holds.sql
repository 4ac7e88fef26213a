-- name: begin_next_here
-- Begin an execution of a list: one that was begun in this hold and has not run, because the answer was lost, else the
-- first that waits, after any session that has locked it.
WITH unrun AS (
    SELECT l.id, l.fence, l.started_at FROM scheduling_execution_live l
    WHERE l.id = ANY(%(next_ids)s::uuid[]) AND l.hold_id = %(hold_id)s AND l.started_at IS NOT NULL
), turn AS (
    SELECT 1 WHERE NOT EXISTS (SELECT FROM unrun)
), next AS (
    -- include: next_of_hold
),
-- include: begin_next
SELECT id, fence, extract(epoch FROM started_at)::float8 AS started_at FROM begun
UNION ALL
(SELECT id, fence, extract(epoch FROM started_at)::float8 FROM unrun ORDER BY id LIMIT 1);

-- name: read_hold
-- Read what is left of a worker's hold.
SELECT id AS execution_id, fence, started_at IS NOT NULL AS has_begun FROM scheduling_execution_live
WHERE hold_id = %(hold_id)s AND worker_id = %(worker_id)s ORDER BY id;
