-- name: release_abandoned
-- Return messages whose delivery job has ended without a record of them, as after a cancellation.
UPDATE scheduling_outbox_message m SET delivery_job_id = NULL
WHERE m.state = 'pending' AND m.delivery_job_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM scheduling_job j WHERE j.id = m.delivery_job_id
        AND j.state NOT IN ('completed', 'cancelled', 'discarded', 'quarantined')
);

-- name: bury_routeless
-- Give up pending messages whose route was deleted.
UPDATE scheduling_outbox_message SET state = 'dead', error = 'The route was deleted.', ended_at = now()
WHERE state = 'pending' AND route_id IS NULL;

-- name: find_due
-- Find the oldest messages that are due, of each enabled route that no job delivers to. A key waits while one of its
-- messages does.
SELECT r.tenant_id, r.id AS route_id, d.id AS message_id
FROM scheduling_outbox_route r CROSS JOIN LATERAL (
    WITH waiting AS MATERIALIZED (
        SELECT w.key FROM scheduling_outbox_message w
        WHERE w.route_id = r.id AND w.state = 'pending' AND w.due_at > now()
    )
    SELECT m.id FROM scheduling_outbox_message m
    WHERE m.route_id = r.id AND m.state = 'pending' AND m.due_at <= now()
        AND (m.key = '' OR m.key NOT IN (SELECT key FROM waiting))
    ORDER BY m.created_at, m.id LIMIT %(most)s
) d
WHERE r.is_enabled AND NOT EXISTS (
    SELECT FROM scheduling_outbox_message b
    WHERE b.route_id = r.id AND b.state = 'pending' AND b.delivery_job_id IS NOT NULL
);
