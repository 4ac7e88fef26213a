"""An installation that has been at work: a million jobs of two hundred tenants with their history, by set statements.

One tenant has three tenths of everything. The jobs came in over the last day, most of them have ended.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from benchmarks.harness.filling import run_statement
from benchmarks.surroundings import surround
from benchmarks.workload_rows import fill_workloads
from scheduling.services.gauges import sample_gauges
from scheduling.services.rollups import fold_tallies
from tenants.auditor import auditor_login
from tenants.models import Plan, Tenant
from tenants.services.sealing import seal_entries
from tenants.services.tenants import create_tenant

JOBS = 1_000_000
TENANTS = 200
WAITING_SHARE = 0.04
AUDIT_ENTRIES = 300_000
SLICE = 250_000
FOLD_ROWS = 50_000
SEAL_SECONDS = 10.0

# Tenant, state, kind and tags of a job do not hang together: each is taken from other digits of its number.
# Ids are UUIDv7, so an id of an hour ago sorts an hour back; `uuidv7(interval)` is PostgreSQL 18's.
_JOBS = """
INSERT INTO scheduling_job (id, tenant_id, kind, queue_id, state, priority, rank, fair_key, tags, payload, payload_hash,
    attempt, crash_count, execution_count, max_retries, fence, progress_current, progress_total, progress_message,
    checkpoint, result, error_type, error_message, error_fingerprint, run_at, created_at, started_at, finished_at)
SELECT uuidv7(created - now()), (%(tenants)s::uuid[])[t], (ARRAY['noop', 'sleep', 'document_indexing'])[1 + n %% 3],
    (%(queues)s::bigint[])[1 + n %% cardinality(%(queues)s::bigint[])], state, 0,
    (extract(epoch FROM created) * 1000000)::bigint, '', CASE n / 3000 %% 10 WHEN 0 THEN ARRAY['night'] ELSE '{}' END,
    '{"source": "benchmark", "text": "some words that a job was asked to work on"}', sha256(n::text::bytea),
    (state IN ('discarded', 'quarantined'))::int, 0, is_ended::int, 3, is_ended::int, 0, 0, '',
    '{}', CASE state WHEN 'completed' THEN '{"ok": true}'::jsonb END,
    CASE WHEN state IN ('discarded', 'quarantined') THEN 'ParseError' ELSE '' END,
    CASE WHEN state IN ('discarded', 'quarantined') THEN 'It cannot be read.' ELSE '' END,
    CASE WHEN state IN ('discarded', 'quarantined') THEN lpad((n %% 50)::text, 16, '0') ELSE '' END,
    created, created, CASE WHEN is_ended THEN created + interval '1 second' END,
    CASE WHEN is_ended THEN created + interval '2 seconds' END
FROM (
    SELECT n, now() - make_interval(secs => 86400.0 * (%(total)s - n) / %(total)s) - interval '3 seconds' AS created,
        CASE WHEN n %% 10 < 3 THEN 1 ELSE 2 + n %% (cardinality(%(tenants)s::uuid[]) - 1) END AS t,
        CASE WHEN n > %(total)s * (1 - %(waiting)s) THEN 'available'
             WHEN n / 10 %% 100 < 93 THEN 'completed' WHEN n / 10 %% 100 < 97 THEN 'cancelled'
             WHEN n / 10 %% 100 < 99 THEN 'discarded' ELSE 'quarantined' END AS state,
        n <= %(total)s * (1 - %(waiting)s) AS is_ended
    FROM generate_series(%(first)s, %(last)s) AS n
) AS made
"""
_CAPACITIES = """
INSERT INTO scheduling_tenant_capacity (tenant_id, in_flight) SELECT id, 0 FROM tenants_tenant
ON CONFLICT DO NOTHING
"""
_ENTITIES = """
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, weight_milli, vruntime, is_runnable, in_flight, waiting,
    head_rank, estimate_us)
SELECT tenant_id, queue_id, 1000, 0, true, 0, count(*) FILTER (WHERE state = 'available'),
    coalesce(min(rank) FILTER (WHERE state = 'available'), 0), 1000000
FROM scheduling_job GROUP BY 1, 2
"""
_READY = """
INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind)
SELECT j.tenant_id, e.id, j.rank, j.id, j.kind
FROM scheduling_job j JOIN scheduling_schedulingentity e ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id
WHERE j.state = 'available'
"""
_DEAD_LETTERS = """
INSERT INTO scheduling_deadletter (id, tenant_id, job_id, kind, reason, error_type, error_message, error_fingerprint,
    created_at)
SELECT uuidv7(finished_at - now()), tenant_id, id, kind, 'permanent_error', error_type, error_message,
    error_fingerprint, finished_at
FROM scheduling_job WHERE state IN ('discarded', 'quarantined')
"""
_EXECUTIONS = """
INSERT INTO scheduling_execution (id, tenant_id, job_id, queue_id, kind, number, fence, worker_id, outcome,
    predicted_us, measured_us, dispatched_at, started_at, ended_at, error_type, error_message, traceback)
SELECT uuidv7(started_at - now()), tenant_id, id, queue_id, kind, 1, 1, NULL,
    CASE state WHEN 'completed' THEN 'completed' WHEN 'cancelled' THEN 'cancelled' ELSE 'failed' END,
    1000000, 1000000, created_at, started_at, finished_at, error_type, error_message, ''
FROM scheduling_job WHERE started_at IS NOT NULL
"""
_CHARGES = """
INSERT INTO scheduling_charge (id, tenant_id, job_id, execution_id, queue_id, reason, microseconds, at)
SELECT uuidv7(ended_at - now()), tenant_id, job_id, id, queue_id, 'predicted', measured_us, ended_at
FROM scheduling_execution
"""
_EVENTS = """
INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
SELECT uuidv7(at - now()), tenant_id, job_id, NULL, at, name, state, 'benchmark', '', '{}'
FROM (
    SELECT tenant_id, id AS job_id, created_at AS at, 'job.submitted' AS name, 'available' AS state FROM scheduling_job
    UNION ALL
    SELECT tenant_id, id, finished_at, 'execution.ended', state FROM scheduling_job WHERE finished_at IS NOT NULL
) AS happened
"""
_ERRORS = """
INSERT INTO scheduling_joberror (id, tenant_id, job_id, execution_id, kind, error_type, error_message,
    error_fingerprint, at)
SELECT uuidv7(finished_at - now()), tenant_id, id, NULL, kind, error_type, error_message, error_fingerprint,
    finished_at
FROM scheduling_job WHERE state IN ('discarded', 'quarantined')
"""
_LOGS = """
INSERT INTO scheduling_joblog (id, tenant_id, job_id, execution_id, attempt, level, message, fields, at)
SELECT uuidv7(started_at - now()), tenant_id, job_id, id, 1, 20, 'It was read, and understood.', '{}', started_at
FROM scheduling_execution
"""
# What settlement leaves for the rollups; the platform's own code folds it.
_TALLIES = """
INSERT INTO scheduling_tally (tenant_id, queue_id, kind, outcome, is_dead, wait_us, started_at, measured_us, ended_at)
SELECT tenant_id, queue_id, kind, outcome, outcome = 'failed', 1000000, started_at, measured_us, ended_at
FROM scheduling_execution
"""
# What a dispatcher has written down of the fifty greatest entitlements, a minute at a time.
_SHARES = """
INSERT INTO scheduling_share_minute (tenant_id, minute, queue_id, entitled_us, backlogged_us, lag_us)
SELECT (%(tenants)s::uuid[])[t], date_trunc('minute', now()) - make_interval(mins => m),
    (%(queues)s::bigint[])[1 + t %% cardinality(%(queues)s::bigint[])], 60000000, 60000000, 1000
FROM generate_series(1, 50) AS t CROSS JOIN generate_series(0, 1440) AS m
"""
# How queues, pools and tenants stood in the hour before this one.
_EARLIER = """
INSERT INTO <table> (<columns>, minute, sampled_at)
SELECT <columns>, minute - make_interval(mins => m), sampled_at - make_interval(mins => m)
FROM <table> CROSS JOIN generate_series(1, 59) AS m
"""
_GAUGE = "queue_id, waiting, oldest_at, backing_off, due, dispatched, executing, slots_milli"
_GAUGES = {
    "scheduling_queue_gauge": _GAUGE,
    "scheduling_tenant_gauge": f"tenant_id, busy_us, {_GAUGE}",
    "scheduling_pool_gauge": "pool_id, slots, slots_milli",
}
_AUDIT = """
INSERT INTO tenants_auditlogentry (id, tenant_id, at, actor_kind, actor_id, actor_label, action, target_type,
    target_id, before, after, reason, request_id)
SELECT uuidv7(at - now()), (%(tenants)s::uuid[])[CASE WHEN n %% 10 < 3 THEN 1 ELSE 2 + n %% 199 END], at, 'api_key',
    (n %% 500)::text, 'benchmark', (ARRAY['job.submitted', 'job.cancelled', 'queue.paused'])[1 + n %% 3],
    'scheduling.job', n::text, NULL, '{"jobs": 1}', '', md5(n::text)
FROM (
    SELECT n, now() - make_interval(secs => 86400.0 * (%(total)s - n) / %(total)s) AS at
    FROM generate_series(1, %(total)s) AS n
) AS acts
"""


@dataclass(frozen=True, slots=True)
class Volume:
    """What was made; `busiest` has three tenths of it."""

    busiest: Tenant
    jobs: int
    tenants: int


def fill(*, jobs: int = JOBS, tenants: int = TENANTS) -> Volume:
    """Make it all, and let PostgreSQL look at it as autovacuum would have."""
    plans = list(Plan.objects.values_list("slug", flat=True))
    made = [create_tenant(slug=f"volume-{number}", plan=plans[number % len(plans)]) for number in range(tenants)]
    ids = [tenant.pk for tenant in made]
    with connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(id) FROM scheduling_queue WHERE name <> 'maintenance'")
        (queues,) = cursor.fetchone()
    for first in range(1, jobs + 1, SLICE):
        last = min(first + SLICE - 1, jobs)
        bounds = {"first": first, "last": last, "total": jobs, "waiting": WAITING_SHARE}
        run_statement(_JOBS, {"tenants": ids, "queues": queues, **bounds})
    for statement in (_CAPACITIES, _ENTITIES, _READY, _DEAD_LETTERS, _EXECUTIONS, _CHARGES, _EVENTS):
        run_statement(statement)
    for statement in (_ERRORS, _LOGS, _TALLIES):
        run_statement(statement)
    while fold_tallies(limit=FOLD_ROWS):
        pass
    sample_gauges()
    for table, columns in _GAUGES.items():
        run_statement(_EARLIER.replace("<table>", table).replace("<columns>", columns))
    run_statement(_SHARES, {"tenants": ids, "queues": queues})
    surround(made[0])
    fill_workloads(made[0])
    run_statement(_AUDIT, {"tenants": ids, "total": AUDIT_ENTRIES})
    with auditor_login():
        while seal_entries(budget_seconds=SEAL_SECONDS):
            pass
    return Volume(busiest=made[0], jobs=jobs, tenants=tenants)
