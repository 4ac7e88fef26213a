-- name: renew_unstarted
-- Give messages that no worker has started within the age a new token and publication time. The new token makes the old
-- message a no-op if it arrives after all. Executions of one message stay in one: if another session has locked one of
-- them, the message waits for the next sweep.
WITH overdue AS (
    SELECT message_id FROM scheduling_execution_live
    WHERE worker_id IS NULL AND published_at <= now() - make_interval(secs => %(age)s)
    GROUP BY 1 ORDER BY min(published_at) LIMIT %(limit)s
), chosen AS (
    SELECT l.id, l.message_id FROM scheduling_execution_live l JOIN overdue USING (message_id)
    WHERE l.worker_id IS NULL ORDER BY l.id FOR NO KEY UPDATE OF l SKIP LOCKED
), whole AS (
    SELECT c.id, c.message_id FROM chosen c JOIN (SELECT message_id, count(*) AS size FROM chosen GROUP BY 1) n
        USING (message_id)
    WHERE n.size = (SELECT count(*) FROM scheduling_execution_live o
        WHERE o.message_id = c.message_id AND o.worker_id IS NULL)
), renewed AS (
    UPDATE scheduling_execution_live l SET token = (%(tokens)s::uuid[])[c.position], published_at = now()
    FROM (SELECT id, dense_rank() OVER (ORDER BY message_id) AS position FROM whole) c
    WHERE l.id = c.id
    RETURNING l.id, l.queue_id, l.message_id, l.token
)
SELECT q.name AS queue_name, array_agg(r.id ORDER BY r.id) AS execution_ids, r.token
FROM renewed r JOIN scheduling_queue q ON q.id = r.queue_id
GROUP BY q.name, r.message_id, r.token ORDER BY min(r.id::text);
