-- name: matching_lines
-- Lines of the ranges of ids added here, newest first. A line must contain all ``parts``, unless it is encrypted.
SELECT l.*,
-- include: line_facts
WHERE (false /* ranges */) AND l.level >= %(level)s
    AND (%(tenants)s::uuid[] IS NULL OR l.tenant_id = ANY (%(tenants)s::uuid[]))
    AND (%(jobs)s::uuid[] IS NULL OR l.job_id = ANY (%(jobs)s::uuid[]))
    AND (%(kind)s::text[] IS NULL OR j.kind = ANY (%(kind)s::text[]))
    AND (%(queue)s::text[] IS NULL OR q.name = ANY (%(queue)s::text[]))
    AND (%(worker)s::text[] IS NULL OR w.hostname = ANY (%(worker)s::text[]))
    AND (%(version)s::text[] IS NULL OR w.version = ANY (%(version)s::text[]))
    AND (%(template)s::text[] IS NULL OR split_part(j.meta ->> 'template', '@', 1) = ANY (%(template)s::text[]))
    AND (l.sealed IS NOT NULL OR NOT EXISTS (
        SELECT FROM unnest(%(parts)s::text[]) AS p (part)
        WHERE position(p.part IN lower(l.message || ' ' || l.fields::text)) = 0
    ))
ORDER BY l.id DESC;

-- name: requests_of_jobs
-- The request that submitted each job; a job's first event is of it.
SELECT j.id AS job_id, r.request_id, r.at FROM unnest(%(jobs)s::uuid[], %(tenants)s::uuid[]) AS j (id, tenant_id)
CROSS JOIN LATERAL (
    SELECT e.request_id, e.at FROM scheduling_jobevent e WHERE e.tenant_id = j.tenant_id AND e.job_id = j.id
        AND e.id >= %(since)s
    ORDER BY e.id LIMIT 1
) r;

-- name: page_start
-- The oldest of the next ``lines`` lines, newest first: a page is limited by the lines that are read, not by matches.
SELECT l.id FROM scheduling_joblog l
WHERE l.id > %(after)s AND l.id <= %(last)s
    AND (%(tenants)s::uuid[] IS NULL OR l.tenant_id = ANY (%(tenants)s::uuid[]))
    AND (%(jobs)s::uuid[] IS NULL OR l.job_id = ANY (%(jobs)s::uuid[]))
ORDER BY l.id DESC OFFSET %(lines)s - 1 LIMIT 1;

-- name: next_segments
-- Segments that may have matching lines, newest first; the filter of a segment is tested by the conditions added here.
SELECT s.tenant_id, s.after_id, s.last_id, s.lines FROM scheduling_log_segment s
WHERE s.last_id < %(below)s AND s.last_id > %(after)s AND s.after_id < %(last)s
    AND (%(tenants)s::uuid[] IS NULL OR s.tenant_id = ANY (%(tenants)s::uuid[]))
    AND (true /* has_words */)
ORDER BY s.last_id DESC LIMIT %(most)s;

-- name: lines_by_time
-- The number of lines of such segments, by part of the time range.
SELECT width_bucket(extract(epoch FROM s.until)::float8, %(from)s, %(to)s, %(parts)s) AS part, sum(s.lines)::bigint AS lines
FROM scheduling_log_segment s
WHERE s.last_id > %(after)s AND s.after_id < %(last)s
    AND (%(tenants)s::uuid[] IS NULL OR s.tenant_id = ANY (%(tenants)s::uuid[]))
    AND (true /* has_words */)
GROUP BY 1;
