-- name: store_lines
-- Store lines; beyond the room for them, they replace as many of the oldest ones. More would empty the table: its file
-- does not become smaller, and its free room is used again.
WITH removed AS (
    DELETE FROM scheduling_platform_log WHERE id IN (
        SELECT id FROM scheduling_platform_log
        WHERE pg_total_relation_size('scheduling_platform_log') > %(most)s::bigint
        ORDER BY id LIMIT %(removed)s FOR UPDATE SKIP LOCKED
    )
)
INSERT INTO scheduling_platform_log (id, level, message, fields, at)
SELECT id, level, message, fields, at
FROM jsonb_to_recordset(%(lines)s::jsonb) AS l (id uuid, level int, message text, fields jsonb, at timestamptz)
ON CONFLICT DO NOTHING;

-- name: page_start
-- The oldest of the next ``lines`` lines, newest first.
SELECT l.id FROM scheduling_platform_log l WHERE l.id > %(after)s AND l.id < %(before)s
ORDER BY l.id DESC OFFSET %(lines)s - 1 LIMIT 1;

-- name: platform_lines
-- Lines of a range of ids, newest first. A line must contain all ``parts``, and one of the values of each of ``members``.
SELECT l.* FROM scheduling_platform_log l
WHERE l.id > %(after)s AND l.id < %(before)s AND l.level >= %(level)s
    AND NOT EXISTS (
        SELECT FROM unnest(%(parts)s::text[]) AS p (part)
        WHERE position(p.part IN lower(l.message || ' ' || l.fields::text)) = 0
    )
    AND NOT EXISTS (
        SELECT FROM jsonb_each(%(members)s::jsonb) AS m (name, texts)
        WHERE NOT (m.texts ? coalesce(l.fields ->> m.name, ''))
    )
ORDER BY l.id DESC;
