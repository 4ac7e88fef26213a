"""What lies around the jobs of an installation at work: batches, schedules with fires, limits, upkeep, files."""

from __future__ import annotations

from benchmarks.harness.filling import run_statement
from scheduling.processors.retrieval.embedding import DIMENSIONS
from scheduling.processors.retrieval.services import create_dataset
from scheduling.services.bulk.starting import start_bulk_operation
from scheduling.services.upkeep import registry
from tenants.context import tenant_context
from tenants.models import Tenant

BATCH_JOBS = 1_000
BUSIEST_SCHEDULES, OTHER_SCHEDULES = 100, 10
UPKEEP_DAYS = 30
WORKERS = 20
DOCUMENTS = 2_000

# Uploads of the busiest tenant: a thousand jobs each.
_BATCHES = """
WITH numbered AS (
    SELECT id, created_at, (row_number() OVER (ORDER BY id) - 1) / %(size)s AS number
    FROM scheduling_job WHERE tenant_id = %(busiest)s AND kind = 'document_indexing'
), made AS (
    INSERT INTO scheduling_batch (id, tenant_id, label, kind, total, created_at)
    SELECT uuidv7(min(created_at) - now()), %(busiest)s, number::text, 'document_indexing', count(*), min(created_at)
    FROM numbered GROUP BY number
    RETURNING id, label
)
UPDATE scheduling_job j SET batch_id = m.id
FROM numbered n JOIN made m ON m.label = n.number::text
WHERE j.id = n.id
"""
_SCHEDULES = """
INSERT INTO scheduling_schedule (id, tenant_id, name, kind, payload, priority, queue, tags, fair_key, cron, timezone,
    dst_policy, overlap_policy, catch_up_policy, jitter_seconds, is_enabled, pause_reason, next_fire_at, version,
    created_at, updated_at)
SELECT uuidv7(), t.id, 'nightly ' || n, 'noop', '{}', 0, '', '{night}', '', '30 2 * * *', 'Europe/Berlin', 'standard',
    'allow', 'latest', 0, n %% 10 > 0, '', CASE WHEN n %% 10 > 0 THEN now() + interval '1 day' END, 1, now(), now()
FROM tenants_tenant t
CROSS JOIN LATERAL generate_series(1, CASE t.id WHEN %(busiest)s THEN %(many)s ELSE %(few)s END) AS n
"""
# The jobs that carry the tag of the schedules are theirs.
_FIRES = """
WITH schedule AS (
    SELECT id, tenant_id, row_number() OVER w - 1 AS place, count(*) OVER (PARTITION BY tenant_id) AS of_tenant
    FROM scheduling_schedule WINDOW w AS (PARTITION BY tenant_id ORDER BY id)
), job AS (
    SELECT id, tenant_id, created_at, row_number() OVER (PARTITION BY tenant_id ORDER BY id) AS number
    FROM scheduling_job WHERE kind = 'noop' AND tags = '{night}'
)
INSERT INTO scheduling_schedulefire (id, tenant_id, schedule_id, fire_time, trigger, outcome, reason, job_id, fired_at)
SELECT uuidv7(j.created_at - now()), j.tenant_id, s.id, j.created_at, 'cron', 'submitted', '', j.id, j.created_at
FROM job j JOIN schedule s ON s.tenant_id = j.tenant_id AND s.place = j.number % s.of_tenant
"""
_OVERRIDES = """
INSERT INTO tenants_tenantlimit (id, tenant_id, key, value, reason)
SELECT uuidv7(), id, 'submit_burst', 1000, 'A trial.' FROM tenants_tenant
"""
_UPKEEP = """
INSERT INTO scheduling_upkeep_run (id, name, outcome, started_at, finished_at, counts, findings, error, cursor,
    lease_expires_at)
SELECT uuidv7(at - now()), name, 'ok', at, at + interval '1 second', '{"rows": 100}', '[]', '', '{}', at
FROM unnest(%(names)s::text[]) AS name
CROSS JOIN generate_series(now() - make_interval(days => %(days)s), now(), interval '1 hour') AS at
"""
_WORKERS = """
INSERT INTO scheduling_worker (id, pool_id, hostname, pid, slots, version, status, started_at, heartbeat_at, stopped_at)
SELECT uuidv7(), (SELECT min(id) FROM scheduling_workerpool), 'worker-' || n, n, 8, '', 'stopped',
    now() - interval '1 day', now() - interval '1 hour', now() - interval '1 hour'
FROM generate_series(1, %(workers)s) AS n
"""
_CIRCUITS = """
INSERT INTO scheduling_circuit_breaker (tenant_id, kind, dependency, holds_all, state, failures, tenants, fingerprint,
    error_type, error_message, counted_from, forced_by, forced_reason)
SELECT id, 'sleep', '', true, 'counting', 3, '{}', '0000000000000001', 'ParseError', 'It cannot be read.', now(), '', ''
FROM tenants_tenant
"""
# The files of the newest uploads, all of them indexed.
_DOCUMENTS = """
INSERT INTO retrieval_document (id, tenant_id, dataset_id, name, content_type, size_bytes, sha256, settings_key,
    storage_key, status, chunks_done, chunks_total, passages_digest, error_code, error_message, job_id, batch_id,
    created_at, completed_at)
SELECT uuidv7(created_at - now()), tenant_id, %(dataset)s, 'chapter.txt', 'text/plain', 1000,
    encode(sha256(id::text::bytea), 'hex'), '', '', 'completed', 5, 5, '', '', '', id, batch_id, created_at, created_at
FROM scheduling_job WHERE tenant_id = %(busiest)s AND batch_id IS NOT NULL ORDER BY id DESC LIMIT %(documents)s
"""
_CHUNKS = """
INSERT INTO retrieval_chunk (id, tenant_id, dataset_id, document_id, position, text, location, embedding, search)
SELECT uuidv7(), d.tenant_id, d.dataset_id, d.id, n, 'Some words of a document.', '{}',
    (SELECT array_agg((k = 1 + n %% %(dimensions)s)::int) FROM generate_series(1, %(dimensions)s) k)::real[]::vector,
    to_tsvector('simple', 'some words of a document ' || n)
FROM retrieval_document d CROSS JOIN generate_series(1, 5) AS n
"""


def surround(busiest: Tenant) -> None:
    """Make it all, most of it the busiest tenant's; its jobs are there already."""
    run_statement(_BATCHES, {"busiest": busiest.pk, "size": BATCH_JOBS})
    run_statement(_SCHEDULES, {"busiest": busiest.pk, "many": BUSIEST_SCHEDULES, "few": OTHER_SCHEDULES})
    run_statement(_FIRES)
    run_statement(_OVERRIDES)
    run_statement(_UPKEEP, {"names": [task.name for task in registry.tasks()], "days": UPKEEP_DAYS})
    run_statement(_WORKERS, {"workers": WORKERS})
    run_statement(_CIRCUITS)
    with tenant_context(busiest):
        dataset = create_dataset(tenant=busiest, name="handbook")
        start_bulk_operation(filter_text="tag:absent", operation="cancel", parameters={}, reason="A trial.")
    run_statement(_DOCUMENTS, {"busiest": busiest.pk, "dataset": dataset.pk, "documents": DOCUMENTS})
    run_statement(_CHUNKS, {"dimensions": DIMENSIONS})
