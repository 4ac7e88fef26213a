-- name: find_effects
-- Return whether the outbox has messages that are due and any that are pending, and whether compensations are open.
SELECT EXISTS (
        SELECT FROM scheduling_outbox_message
        WHERE state = 'pending' AND (due_at <= now() OR delivery_job_id IS NOT NULL OR route_id IS NULL)
    ) AS has_due,
    EXISTS (SELECT FROM scheduling_outbox_message WHERE state = 'pending') AS has_pending,
    EXISTS (SELECT FROM scheduling_compensation WHERE state IN ('begun', 'ready', 'pending', 'running'))
    OR EXISTS (
        SELECT FROM scheduling_batch
        WHERE compensate IS NOT NULL AND compensation_planned_at IS NULL AND ended_at IS NOT NULL
    ) AS has_compensations;
