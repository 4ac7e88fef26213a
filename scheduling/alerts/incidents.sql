-- name: add_incidents
-- Add the counts of a process to those of the current minute; in order of name, so that two processes do not deadlock.
INSERT INTO scheduling_platform_incident AS i (name, detail, minute, count)
SELECT g.name, g.detail, date_trunc('minute', now()), g.count
FROM unnest(%(names)s::text[], %(details)s::text[], %(counts)s::int[]) AS g(name, detail, count)
ORDER BY 1, 2
ON CONFLICT (name, detail, minute) DO UPDATE SET count = i.count + excluded.count
RETURNING i.id;
