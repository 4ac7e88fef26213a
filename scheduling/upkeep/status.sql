-- name: find_last_runs
-- Read the last run of each task and the end of its last success.
SELECT last.*, (SELECT r.finished_at FROM scheduling_upkeep_run r
    WHERE r.name = wanted.name AND r.outcome = ANY(%(successes)s) ORDER BY r.id DESC LIMIT 1) AS succeeded_at
FROM unnest(%(names)s::text[]) AS wanted(name) CROSS JOIN LATERAL (
    SELECT * FROM scheduling_upkeep_run r WHERE r.name = wanted.name ORDER BY r.id DESC LIMIT 1
) AS last;
