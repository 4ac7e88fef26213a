-- name: record_broker_outage
-- Record that pools are not ticked because the broker is unreachable. Skip pools that another dispatcher ticks: it
-- reaches the broker.
UPDATE scheduling_pool_clock SET broker_away_at = now()
WHERE pool_id = ANY(%(pool_ids)s) AND (ticked_at IS NULL OR ticked_at < now() - interval '2 seconds');

-- name: record_refused_hints
-- Record that the broker refused messages of a tick of this pool.
UPDATE scheduling_pool_clock SET broker_away_at = now(), publish_failed_at = now(), publish_fault = %(fault)s
WHERE pool_id = %(pool_id)s;

-- name: note_refused_queues
-- Record that the broker refused messages of these queues that were published again.
UPDATE scheduling_pool_clock SET publish_failed_at = now(), publish_fault = %(fault)s
WHERE pool_id IN (SELECT pool_id FROM scheduling_queue WHERE name = ANY(%(queues)s));
