-- name: next_lines
-- The next lines to be indexed. Younger ones may still be committed, or wait in the buffer of a worker.
SELECT l.id, l.tenant_id, l.level, l.message, l.fields, l.sealed IS NOT NULL AS is_sealed,
-- include: line_facts
WHERE l.id > %(after)s AND l.id < %(last)s ORDER BY l.id LIMIT %(most)s;

-- name: add_volume
-- Count bytes of lines towards their tenants' volume of the day, with the limits of the moment.
INSERT INTO scheduling_log_volume AS v (tenant_id, day, bytes, allowed)
SELECT tenant_id, (now() AT TIME ZONE 'UTC')::date, bytes, allowed
FROM unnest(%(tenants)s::uuid[], %(bytes)s::bigint[], %(allowed)s::bigint[]) AS g (tenant_id, bytes, allowed)
ORDER BY tenant_id
ON CONFLICT (tenant_id, day) DO UPDATE SET bytes = v.bytes + excluded.bytes, allowed = excluded.allowed;

-- name: newest_segments
-- The newest segment of each of these tenants, which may have room.
SELECT s.* FROM unnest(%(tenants)s::uuid[]) AS t(id) CROSS JOIN LATERAL (
    SELECT * FROM scheduling_log_segment WHERE tenant_id = t.id ORDER BY last_id DESC LIMIT 1
) s;

-- name: remove_empty_segments
-- Segments whose lines were removed after their retention.
DELETE FROM scheduling_log_segment WHERE id IN (
    SELECT s.id FROM scheduling_log_segment s
    WHERE s.last_id < %(before)s AND NOT EXISTS (
        SELECT FROM scheduling_joblog l WHERE l.tenant_id = s.tenant_id AND l.id > s.after_id AND l.id <= s.last_id
    )
    ORDER BY s.last_id LIMIT %(most)s
);

-- name: add_late_lines
-- Segments to which lines were committed after they were indexed, such as those of a worker that was cut off.
UPDATE scheduling_log_segment s SET lines = late.found, filter = %(every_word)s
FROM (
    SELECT w.id, l.found FROM scheduling_log_segment w CROSS JOIN LATERAL (
        SELECT count(*) AS found FROM scheduling_joblog
        WHERE tenant_id = w.tenant_id AND id > w.after_id AND id <= w.last_id
    ) l
    WHERE w.last_id > %(since)s AND w.lines < l.found
    ORDER BY w.last_id LIMIT %(most)s
) late WHERE s.id = late.id;
