-- name: activate
-- Compensate the work of workflow runs whose jobs have failed or were cancelled. Work whose result is needed and not
-- known needs a person.
UPDATE scheduling_compensation c SET
    state = CASE WHEN c.payload IS NULL THEN 'needs_attention' ELSE 'pending' END,
    error = CASE WHEN c.payload IS NULL THEN 'It is not known whether the work was done.' ELSE '' END
FROM scheduling_job j
WHERE c.owner_type = 'run' AND c.state IN ('begun', 'ready') AND j.id = c.owner_id
    AND j.state IN ('cancelled', 'discarded', 'quarantined');

-- name: forget_succeeded
-- Delete what would undo the work of workflow runs that have succeeded.
DELETE FROM scheduling_compensation c USING scheduling_job j
WHERE c.owner_type = 'run' AND c.state IN ('begun', 'ready') AND j.id = c.owner_id AND j.state = 'completed';

-- name: collect
-- Record compensations whose jobs have ended; one without a job, which was pruned, needs a person.
UPDATE scheduling_compensation c SET
    state = CASE WHEN s.state = 'completed' THEN 'compensated' ELSE 'needs_attention' END,
    error = CASE WHEN s.state = 'completed' THEN ''
        -- A sealed text is that of the same job: cut, it could not be opened.
        WHEN s.error_message LIKE '$sealed:%%' THEN s.error_message
        ELSE left(coalesce(nullif(s.error_message, ''), 'The job has not completed.'), 500) END,
    ended_at = CASE WHEN s.state = 'completed' THEN now() END
FROM (
    SELECT r.id, coalesce(j.state, 'cancelled') AS state, j.error_message
    FROM scheduling_compensation r LEFT JOIN scheduling_job j ON j.id = r.job_id
    WHERE r.state = 'running' AND (j.id IS NULL OR j.state IN ('completed', 'cancelled', 'discarded', 'quarantined'))
) s
WHERE c.id = s.id;

-- name: find_next
-- Read the compensations to begin: of a run the last one, while no other is running or needs attention; of a batch, whose
-- members are independent, as many as may run at once, the last ones first.
SELECT p.tenant_id, p.id AS compensation_id
FROM (
    SELECT c.*, row_number() OVER (PARTITION BY c.owner_id ORDER BY c.done_at DESC, c.id DESC) AS place
    FROM scheduling_compensation c WHERE c.state = 'pending'
) p CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE o.state = 'running') AS running,
        count(*) FILTER (WHERE o.state = 'needs_attention') AS stuck
    FROM scheduling_compensation o WHERE o.tenant_id = p.tenant_id AND o.owner_id = p.owner_id
) o
WHERE (p.due_at IS NULL OR p.due_at <= now())
    AND CASE p.owner_type WHEN 'run' THEN p.place = 1 AND o.running + o.stuck = 0
        ELSE p.place + o.running <= %(at_once)s END
ORDER BY p.done_at DESC, p.id DESC LIMIT %(limit)s;
