-- name: find_failing
-- Return the kinds of tenants of which more than a part of the recent executions failed, those with most failures first.
SELECT tenant_id, kind, 100.0::float8 * sum(failed) / sum(completed + failed) AS percent
FROM scheduling_kind_minute
WHERE minute >= date_trunc('minute', now()) - make_interval(mins => %(minutes)s::int)
    AND (%(tenant_id)s::uuid IS NULL OR tenant_id = %(tenant_id)s::uuid)
GROUP BY 1, 2
HAVING sum(failed) >= %(least)s::int AND 100 * sum(failed) > %(percent)s::int * sum(completed + failed)
ORDER BY sum(failed) DESC, 1, 2 LIMIT %(limit)s::int;
