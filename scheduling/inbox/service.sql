-- name: insert_event
-- Store an event unless the source has sent its id before; the statement waits for a transaction that stores the same.
INSERT INTO scheduling_inbox_event (id, tenant_id, source, event_id, topic, fingerprint, jobs)
VALUES (%(id)s, %(tenant_id)s, %(source)s, %(event_id)s, %(topic)s, %(fingerprint)s, '{}')
ON CONFLICT (tenant_id, source, event_id) DO NOTHING;
