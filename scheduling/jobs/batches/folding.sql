-- name: fold_batches
-- Count news in their batches, and end those whose last job has ended. The locked row is the current one: if it changed
-- since this statement began, PostgreSQL computes the update again from that row. So no job is added between the total
-- of a batch and its end. News of a batch whose row is locked are left.
WITH looked AS MATERIALIZED (
    SELECT id, batch_id FROM scheduling_batch_news ORDER BY id LIMIT %(limit)s
), locked AS MATERIALIZED (
    SELECT b.id FROM scheduling_batch b WHERE b.id IN (SELECT batch_id FROM looked)
    ORDER BY b.id FOR NO KEY UPDATE SKIP LOCKED
), deleted_news AS (
    DELETE FROM scheduling_batch_news n USING looked k
    WHERE n.id = k.id AND (k.batch_id IN (SELECT id FROM locked)
        OR NOT EXISTS (SELECT FROM scheduling_batch b WHERE b.id = k.batch_id))
    RETURNING n.batch_id, n.state
), counted AS (
    SELECT batch_id, count(*) FILTER (WHERE state = 'completed') AS completed,
        count(*) FILTER (WHERE state IN ('discarded', 'quarantined')) AS failed,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled
    FROM deleted_news GROUP BY 1
), batch AS (
    UPDATE scheduling_batch b SET
        completed = b.completed + c.completed,
        failed = b.failed + c.failed,
        cancelled = b.cancelled + c.cancelled,
        ended_at = CASE WHEN
        -- include: is_over
            THEN now() ELSE b.ended_at END,
        fire_at = CASE WHEN
        -- include: is_over
            AND b.on_completion IS NOT NULL AND b.fired_job_id IS NULL
            AND (b.completed + c.completed = b.total OR NOT b.only_if_completed) THEN now() ELSE b.fire_at END
    FROM counted c WHERE b.id = c.batch_id
    RETURNING b.waiting_job_id, b.ended_at = now() AS is_over
)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT count(*) FROM deleted_news) AS folded,
    (SELECT coalesce(array_agg(waiting_job_id), '{}') FROM batch WHERE is_over AND waiting_job_id IS NOT NULL)
    AS waiting;

-- fragment: is_over
-- Whether batch ``b`` is closed and the counts ``c`` complete it.
b.ended_at IS NULL AND b.closed_at IS NOT NULL
AND b.completed + c.completed + b.failed + c.failed + b.cancelled + c.cancelled >= b.total
