-- name: expire_due_stops
-- End expired pauses and drains; return them. The statement that ends one also checks its condition, so a pause that
-- was prolonged meanwhile stays.
WITH queue AS (
    UPDATE scheduling_queue SET is_paused = false, pause_reason = '', paused_by = '', paused_at = NULL,
        paused_until = NULL
    WHERE is_paused AND paused_until <= now() RETURNING id, name
), pool AS (
    UPDATE scheduling_workerpool SET is_paused = false, pause_reason = '', paused_by = '', paused_at = NULL,
        paused_until = NULL
    WHERE is_paused AND paused_until <= now() RETURNING id, name
), kind AS (
    DELETE FROM scheduling_kindpause WHERE paused_until <= now() RETURNING kind
), drain AS (
    DELETE FROM scheduling_drain WHERE until <= now() RETURNING scope, name
)
SELECT 'is_paused' AS flag, 'queue' AS noun, id::text AS id FROM queue
UNION ALL SELECT 'is_paused', 'workerpool', id::text FROM pool
UNION ALL SELECT 'is_paused', 'kind', kind FROM kind UNION ALL SELECT 'is_draining', scope, name FROM drain;
