-- name: note_requeued
-- Record in dead letters by which jobs they were requeued.
UPDATE scheduling_deadletter d SET requeued_at = now(), requeued_job_id = r.new_id
FROM unnest(%(letter_ids)s::uuid[], %(job_ids)s::uuid[]) AS r(letter_id, new_id) WHERE d.id = r.letter_id;
