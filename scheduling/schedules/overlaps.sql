-- name: find_open_runs
-- Find the unfinished runs of schedules, among their newest runs only: every policy but `allow` keeps them few.
SELECT s.id AS schedule_id, run.job_id FROM unnest(%(schedule_ids)s::uuid[]) AS s(id)
CROSS JOIN LATERAL (
    SELECT f.job_id FROM scheduling_schedulefire f
    WHERE f.schedule_id = s.id AND f.job_id IS NOT NULL ORDER BY f.fire_time DESC LIMIT 100
) AS run
JOIN scheduling_job j ON j.id = run.job_id AND j.state NOT
-- include: in_terminal_states
;

-- name: lock_released
-- Lock waiting fires whose previous runs have ended, with their schedules, which every fire locks, so that no other
-- process begins the next run.
SELECT f.id FROM scheduling_schedulefire f JOIN scheduling_schedule s ON s.id = f.schedule_id
WHERE f.outcome = 'waiting' AND s.is_enabled AND NOT EXISTS (
    SELECT FROM (
        SELECT r.job_id FROM scheduling_schedulefire r
        WHERE r.schedule_id = f.schedule_id AND r.job_id IS NOT NULL ORDER BY r.fire_time DESC LIMIT 100
    ) AS run
    JOIN scheduling_job j ON j.id = run.job_id AND j.state NOT
    -- include: in_terminal_states
)
LIMIT %(limit)s FOR NO KEY UPDATE OF s, f SKIP LOCKED;
