-- name: find_settled
-- Read the ctids of settled rows of a pool, grouped by message.
SELECT s.message_id, s.ctid::text AS place FROM scheduling_settled s JOIN scheduling_queue q ON q.id = s.queue_id
WHERE q.pool_id = %(pool_id)s AND s.tenant_id = ANY (%(tenant_ids)s::uuid[])
ORDER BY s.message_id NULLS LAST LIMIT %(limit)s;

-- name: detach_row
-- Detach a settled row from its message, so that it holds no slot; return its new ctid.
UPDATE scheduling_settled SET message_id = NULL WHERE ctid = %(place)s::tid RETURNING ctid::text;

-- name: free_slot
-- Insert a settled row without measurements, which frees the slot of a message.
INSERT INTO scheduling_settled (tenant_id, entity_id, queue_id, message_id, kind, predicted_us, measured_us,
    weight_milli, queue_weight_milli, is_sample, payload_bytes, used_us, ended_at)
SELECT tenant_id, entity_id, queue_id, message_id, '', 0, 0, 1, 1, false, 0, 0, now()
FROM scheduling_settled WHERE ctid = ANY (%(places)s::tid[]) AND message_id IS NOT NULL
RETURNING ctid::text;

-- name: drop_rows
-- Delete settled rows by ctid.
DELETE FROM scheduling_settled WHERE ctid = ANY (%(places)s::tid[]);

-- name: set_aside
-- Move a settled row to the refused ones.
WITH deleted_rows AS (DELETE FROM scheduling_settled WHERE ctid = %(place)s::tid RETURNING *)
INSERT INTO scheduling_settled_refused (id, tenant_id, queue_id, measured_us, content, error, refused_at)
SELECT %(id)s::uuid, tenant_id, queue_id, measured_us, to_jsonb(deleted_rows), %(error)s::text, now() FROM deleted_rows;

-- name: restore_rows
-- Move refused rows back to the settled ones. Time that cannot have been used is not charged and is no sample for the
-- predictor. A zero weight becomes the least weight.
WITH deleted_rows AS (
    DELETE FROM scheduling_settled_refused WHERE tenant_id = %(tenant_id)s::uuid AND id = ANY (%(ids)s::uuid[])
    RETURNING content
)
INSERT INTO scheduling_settled (tenant_id, entity_id, queue_id, message_id, kind, predicted_us, whole_us, measured_us,
    weight_milli, queue_weight_milli, rate_milli, is_sample, payload_bytes, used_us, peak_memory_kib, cpu_us,
    io_bytes, ended_at)
SELECT r.tenant_id, r.entity_id, r.queue_id, NULL, r.kind, least(greatest(0, r.predicted_us), %(most_us)s), NULL,
    least(greatest(0, r.measured_us), %(most_us)s), greatest(1, r.weight_milli), greatest(1, r.queue_weight_milli),
    coalesce(r.rate_milli, 1000), false, r.payload_bytes, r.used_us, r.peak_memory_kib, r.cpu_us,
    r.io_bytes, r.ended_at
FROM deleted_rows CROSS JOIN LATERAL jsonb_populate_record(NULL::scheduling_settled, deleted_rows.content) AS r;
