"""An installation at work: a million jobs of two hundred tenants with their history, inserted by set statements.

One tenant has three tenths of everything. Most jobs have ended, all within the last day.
"""

from __future__ import annotations

from benchmarks.console.surroundings import surround
from benchmarks.harness.filling import fill_backlog, run_statement
from benchmarks.harness.past import add_past
from scheduling.models import Queue, WorkerPool
from scheduling.services.dispatching import run_tick
from scheduling.services.gauges import sample_gauges
from scheduling.services.rollups import fold_tallies
from tenants.auditor import auditor_login
from tenants.models import Plan, Tenant
from tenants.services.sealing import seal_entries
from tenants.services.tenants import create_tenant

JOBS, WAITING_SHARE = 1_000_000, 0.04
# The busiest tenant stands so often in the list of all, whose length is then a prime: nothing depends on the tenant.
TENANTS, BUSIEST_TIMES = 200, 84
KINDS = ("noop", "sleep", "document_indexing")
AUDIT_ENTRIES = 300_000
FOLD_ROWS = 50_000
SEAL_SECONDS = 10.0
PAYLOAD = {"source": "benchmark", "text": "some words that a job was asked to work on"}

_DEAD_LETTERS = """
INSERT INTO scheduling_deadletter (id, tenant_id, job_id, kind, reason, error_type, error_message, error_fingerprint,
    created_at)
SELECT uuidv7(finished_at - now()), tenant_id, id, kind, 'permanent_error', error_type, error_message,
    error_fingerprint, finished_at
FROM scheduling_job WHERE state IN ('discarded', 'quarantined')
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


def fill(*, jobs: int = JOBS) -> Tenant:
    """Insert everything; return the busiest tenant."""
    plans = list(Plan.objects.values_list("slug", flat=True))
    tenants = [create_tenant(slug=f"volume-{number}", plan=plans[number % len(plans)]) for number in range(TENANTS)]
    ids = [tenant.pk for tenant in tenants]
    queues = dict(Queue.objects.exclude(name="maintenance").values_list("name", "pk"))
    waiting = round(jobs * WAITING_SHARE)
    weighted = [ids[0]] * BUSIEST_TIMES + ids[1:]
    add_past(
        weighted, jobs - waiting, days=1, kinds=KINDS, queues=list(queues), tags=["night"], payload=PAYLOAD, dead=3
    )
    for queue in queues:
        for kind in KINDS:
            fill_backlog(weighted, waiting // len(queues) // len(KINDS), kind=kind, payload=PAYLOAD, queue=queue)
    # Without a slot a tick only folds what was submitted.
    for pool in WorkerPool.objects.all():
        while run_tick(pool.pk).has_more:
            pass
    for statement in (_DEAD_LETTERS, _ERRORS, _LOGS, _TALLIES):
        run_statement(statement)
    while fold_tallies(limit=FOLD_ROWS):
        pass
    sample_gauges()
    for table, columns in _GAUGES.items():
        run_statement(_EARLIER.replace("<table>", table).replace("<columns>", columns))
    run_statement(_SHARES, {"tenants": ids, "queues": list(queues.values())})
    surround(tenants[0])
    run_statement(_AUDIT, {"tenants": ids, "total": AUDIT_ENTRIES})
    with auditor_login():
        while seal_entries(budget_seconds=SEAL_SECONDS):
            pass
    return tenants[0]
