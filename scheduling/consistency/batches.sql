-- fragment: recount_of_batch
-- The counts of the jobs of a batch ``b``. Ended but unfolded jobs have rows of news, which are written in the same
-- transaction and seen by one statement.
SELECT count(*) AS jobs, count(*) FILTER (WHERE j.state = 'completed') AS completed,
    count(*) FILTER (WHERE j.state IN ('discarded', 'quarantined')) AS failed,
    count(*) FILTER (WHERE j.state = 'cancelled') AS cancelled
FROM scheduling_job j WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id

-- fragment: news_of_batch
-- The counts of the news of a batch ``b``.
SELECT count(*) FILTER (WHERE n.state = 'completed') AS completed,
    count(*) FILTER (WHERE n.state IN ('discarded', 'quarantined')) AS failed,
    count(*) FILTER (WHERE n.state = 'cancelled') AS cancelled, count(*) AS rows
FROM scheduling_batch_news n WHERE n.batch_id = b.id

-- name: check_batches
-- Find batches whose counts differ from their jobs, and batches that should have ended. The outcome of pruned jobs is
-- not stored, so it may be any of the three.
WITH piece AS MATERIALIZED (
    SELECT * FROM scheduling_batch WHERE
    -- include: piece_by_id
    AND created_at < now() - make_interval(secs => %(grace)s)
)
SELECT f.code, b.tenant_id, b.id::text AS subject
FROM piece b CROSS JOIN LATERAL (
    -- include: recount_of_batch
) AS found CROSS JOIN LATERAL (
    -- include: news_of_batch
) AS news
    CROSS JOIN LATERAL (SELECT b.completed + news.completed - found.completed AS completed,
        b.failed + news.failed - found.failed AS failed, b.cancelled + news.cancelled - found.cancelled AS cancelled
    ) AS more
    CROSS JOIN LATERAL (VALUES
        ('batch_short', found.jobs + b.pruned < b.total), ('batch_over', found.jobs + b.pruned > b.total),
        ('batch_counter', least(more.completed, more.failed, more.cancelled) < 0
            OR more.completed + more.failed + more.cancelled <> b.pruned),
        ('batch_unended', b.ended_at IS NULL AND b.closed_at < now() - make_interval(secs => %(grace)s)
            AND news.rows = 0 AND b.completed + b.failed + b.cancelled >= b.total)
    ) AS f(code, is_wrong)
WHERE f.is_wrong;

-- name: lock_batches
-- Lock batches. Pruning a batch's jobs, adding jobs and folding its news all write the batch, so its row is their
-- common lock.
SELECT 1 FROM scheduling_batch WHERE id = ANY (%(ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: count_batches
-- Write the recounted numbers of batches, and a row of news for each. A pruned job that was not counted as failed or
-- cancelled counts as completed.
WITH counted AS (
    UPDATE scheduling_batch b SET
        total = greatest(b.total, o.jobs + b.pruned),
        completed = o.completed - o.news_completed + b.pruned - o.pruned_failed - o.pruned_cancelled,
        failed = o.failed - o.news_failed + o.pruned_failed,
        cancelled = o.cancelled - o.news_cancelled + o.pruned_cancelled
    FROM (
        SELECT b.id, found.*, news.completed AS news_completed, news.failed AS news_failed,
            news.cancelled AS news_cancelled, pruned.failed AS pruned_failed,
            least(greatest(0, b.cancelled + news.cancelled - found.cancelled), b.pruned - pruned.failed)
                AS pruned_cancelled
        FROM scheduling_batch b CROSS JOIN LATERAL (
            -- include: recount_of_batch
        ) AS found CROSS JOIN LATERAL (
            -- include: news_of_batch
        ) AS news
            CROSS JOIN LATERAL (
                SELECT least(greatest(0, b.failed + news.failed - found.failed), b.pruned) AS failed
            ) AS pruned
        WHERE b.id = ANY (%(ids)s::uuid[])
    ) AS o WHERE o.id = b.id
    RETURNING b.id, b.tenant_id
)
INSERT INTO scheduling_batch_news (tenant_id, batch_id, state) SELECT tenant_id, id, '' FROM counted;

-- name: check_refused_rows
-- Read the settled rows that a tick has set aside.
SELECT 'settled_refused' AS code, tenant_id, id::text AS subject, error AS detail FROM scheduling_settled_refused WHERE
-- include: piece_by_id
;
