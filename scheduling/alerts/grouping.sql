-- name: due_notices
-- Read the notices that are due by contact, and the messages that it was sent within the hour.
SELECT d.*, c.per_hour, coalesce(m.sent, 0) AS sent, m.last_at, coalesce(m.has_digest, false) AS has_digest
FROM (
    SELECT n.contact_id, array_agg(n.id ORDER BY n.id) AS notice_ids, array_agg(DISTINCT n.alert_id) AS alert_ids,
        min(n.due_at) AS oldest_at, bool_or(a.severity = 'critical') AS is_critical
    FROM scheduling_alert_notice n JOIN scheduling_alert a ON a.id = n.alert_id
    WHERE n.message_id IS NULL AND n.dropped = '' AND n.due_at <= now()
    GROUP BY 1 ORDER BY 4 LIMIT 50
) d
JOIN scheduling_contact c ON c.id = d.contact_id AND c.is_enabled
LEFT JOIN LATERAL (
    SELECT count(*) AS sent, max(created_at) AS last_at, bool_or(what = 'digest' AND id >= %(hour)s) AS has_digest
    FROM scheduling_alert_message m
    WHERE m.contact_id = d.contact_id AND m.id >= %(since)s AND m.what IN ('alerts', 'digest')
) m ON true;
