"""A week of jobs that have ended, with all that stays of them, by set statements; each day has its partition."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from benchmarks.harness.filling import queue_id, run_statement
from scheduling.limits import WORKER_SECONDS
from scheduling.services.partitions import HISTORY_TABLES, list_partitions
from tenants.clock import read_moment
from tenants.context import all_tenants
from tenants.ids import uuid7_floor
from tenants.partitions import create_partition

DAYS = 7
SLICE = 250_000

# Nineteen of twenty have completed, the others were cancelled before they began. Four lines of history, two of the
# ledger and one execution are what a job without a fault leaves. Ids tell the time of their rows, so a row falls into
# the partition of its day; within a job they rise.
_PAST = """
WITH made AS (
    INSERT INTO scheduling_job (id, tenant_id, kind, queue_id, state, priority, rank, fair_key, tags, payload,
        payload_hash, attempt, crash_count, execution_count, max_retries, fence, progress_current, progress_total,
        progress_message, checkpoint, result, error_type, error_message, error_fingerprint, run_at, created_at,
        started_at, finished_at)
    SELECT uuidv7(created - now()), (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])], 'noop',
        %(queue)s, CASE WHEN has_run THEN 'completed' ELSE 'cancelled' END, 0,
        (extract(epoch FROM created) * 1000000)::bigint + n, '', '{}', '{}', sha256(n::text::bytea), 0, 0,
        has_run::int, 3, has_run::int, 0, 0, '', '{}', CASE WHEN has_run THEN '{}'::jsonb END, '', '', '', created,
        created, CASE WHEN has_run THEN created + interval '2 seconds' END, created + interval '3 seconds'
    FROM (
        SELECT n, n / 7 %% 20 > 0 AS has_run, now() - interval '1 minute'
            - make_interval(secs => 86400.0 * %(days)s * (%(rows)s - n) / %(rows)s) AS created
        FROM generate_series(%(first)s::int, %(last)s::int) AS n
    ) AS numbered
    RETURNING id, tenant_id, state, created_at, started_at, finished_at
), execution AS (
    INSERT INTO scheduling_execution (id, tenant_id, job_id, queue_id, kind, number, fence, worker_id, outcome,
        predicted_us, measured_us, dispatched_at, started_at, ended_at, error_type, error_message, traceback)
    SELECT uuidv7(created_at + interval '1 second' - now()), tenant_id, id, %(queue)s, 'noop', 1, 1, NULL, 'completed',
        1000, 900, created_at + interval '1 second', started_at, finished_at, '', '', ''
    FROM made WHERE started_at IS NOT NULL
    RETURNING id, tenant_id, job_id, dispatched_at, started_at, ended_at
), charge AS (
    INSERT INTO scheduling_charge (id, tenant_id, job_id, execution_id, queue_id, reason, microseconds, at)
    SELECT uuidv7(at - now()), tenant_id, job_id, e.id, %(queue)s, reason, us, at
    FROM execution e, LATERAL (VALUES ('predicted', 1000, dispatched_at), ('corrected', -100, ended_at))
        AS line (reason, us, at)
), used AS (
    INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount)
    SELECT tenant_id, %(counter)s, date_trunc('month', ended_at AT TIME ZONE 'UTC')::date, 900 * count(*)
    FROM execution GROUP BY 1, 3
    ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = u.amount + excluded.amount
)
INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
SELECT uuidv7(at - now()), tenant_id, job_id, execution_id, at, name, state, 'system', '', '{}'
FROM (
    SELECT tenant_id, id AS job_id, NULL::uuid AS execution_id, created_at AS at, 'job.submitted' AS name,
        'available' AS state FROM made
    UNION ALL SELECT tenant_id, id, NULL, finished_at, 'job.cancelled', state FROM made WHERE started_at IS NULL
    UNION ALL SELECT e.tenant_id, job_id, e.id, line.at, line.name, line.state
    FROM execution e, LATERAL (VALUES ('job.dispatched', 'dispatched', dispatched_at),
        ('execution.started', 'executing', started_at), ('execution.completed', 'completed', ended_at))
        AS line (name, state, at)
) AS happened
"""


def add_past(tenant_ids: Sequence[UUID], jobs: int) -> None:
    """So many jobs of these tenants that ended within the last week; an hour of a day is as full as any other."""
    values = {
        "tenants": list(tenant_ids),
        "queue": queue_id(),
        "rows": jobs,
        "days": DAYS,
        "counter": WORKER_SECONDS.key,
    }
    for first in range(1, jobs + 1, SLICE):
        run_statement(_PAST, {**values, "first": first, "last": min(first + SLICE - 1, jobs)})


def add_past_days() -> None:
    """Partitions of the last days and of today, where there are none yet; the history must be empty."""
    midnight = read_moment().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for table in HISTORY_TABLES:
        taken = {partition.since for partition in list_partitions(table)}
        for day in range(-DAYS, 1):
            _add_day(table, midnight + timedelta(days=day), taken)


def _add_day(table: str, starts_at: datetime, taken: set[UUID]) -> None:
    if uuid7_floor(starts_at) not in taken:
        with all_tenants():
            create_partition(table=table, starts_at=starts_at, ends_at=starts_at + timedelta(days=1))
