-- name: read_turn
-- Read when shares were last sampled, if that is long ago, and whether the active plan serves in order of arrival.
SELECT now() AS now, shares_sampled_at AS last,
    NOT EXISTS (SELECT FROM scheduling_cfsplan WHERE is_active AND strategy <> 'nop') AS is_off
FROM scheduling_rollup_clock
WHERE shares_sampled_at IS NULL OR shares_sampled_at < now() - make_interval(secs => %(fresh_seconds)s);

-- name: add_shares
-- Add a sample to its minutes.
INSERT INTO scheduling_share_minute AS r (tenant_id, minute, queue_id, entitled_us, backlogged_us, lag_us)
SELECT * FROM unnest(%(tenant_ids)s::uuid[], %(minutes)s::timestamptz[], %(queue_ids)s::bigint[],
    %(entitled_us)s::bigint[], %(backlogged_us)s::bigint[], %(lags_us)s::bigint[])
ON CONFLICT (tenant_id, minute, queue_id) DO UPDATE SET entitled_us = r.entitled_us + excluded.entitled_us,
    backlogged_us = r.backlogged_us + excluded.backlogged_us, lag_us = coalesce(excluded.lag_us, r.lag_us);

-- name: note_sample
-- Record that shares were sampled.
UPDATE scheduling_rollup_clock SET shares_sampled_at = now();
