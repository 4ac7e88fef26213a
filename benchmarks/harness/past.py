"""Ended jobs with all that is stored of them, inserted by set statements, and the partitions of their days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from benchmarks.harness.filling import QUEUE, queue_id, run_statement
from scheduling.limits import WORKER_SECONDS
from scheduling.services.partitions import HISTORY_TABLES, list_partitions
from tenants.clock import read_moment
from tenants.context import all_tenants
from tenants.ids import uuid7_floor
from tenants.partitions import create_partition

DAYS = 7
SLICE = 250_000

# Of a hundred jobs five were cancelled before they began, `dead` failed for good, and the others completed. A job
# without a fault leaves four events, two charges and one execution. Tenant, queue, kind, state and tag are taken from
# different digits of a job's number, so they do not depend on each other. Ids contain the time of their rows, so a
# row is in the partition of its day; within a job they rise.
_PAST = """
WITH made AS (
    INSERT INTO scheduling_job (id, tenant_id, kind, queue_id, state, priority, rank, fair_key, tags, payload,
        payload_hash, attempt, crash_count, execution_count, max_retries, fence, progress_current, progress_total,
        progress_message, checkpoint, result, error_type, error_message, error_fingerprint, run_at, created_at,
        started_at, finished_at)
    SELECT uuidv7(created - now()), (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])],
        (%(kinds)s::text[])[1 + n %% cardinality(%(kinds)s::text[])],
        (%(queues)s::bigint[])[1 + n %% cardinality(%(queues)s::bigint[])], state, 0,
        (extract(epoch FROM created) * 1000000)::bigint + n, '',
        CASE n / 3000 %% 10 WHEN 0 THEN %(tags)s::text[] ELSE '{}' END, %(payload)s, sha256(n::text::bytea),
        is_dead::int, 0, has_run::int, 3, has_run::int, 0, 0, '', '{}',
        CASE state WHEN 'completed' THEN '{}'::jsonb END,
        CASE WHEN is_dead THEN 'ParseError' ELSE '' END, CASE WHEN is_dead THEN 'It cannot be read.' ELSE '' END,
        CASE WHEN is_dead THEN lpad((n %% 50)::text, 16, '0') ELSE '' END, created, created,
        CASE WHEN has_run THEN created + interval '2 seconds' END, created + interval '3 seconds'
    FROM (
        SELECT *, state <> 'cancelled' AS has_run, state IN ('discarded', 'quarantined') AS is_dead FROM (
            SELECT n, now() - interval '1 minute'
                - make_interval(secs => 86400.0 * %(days)s * (%(rows)s - n) / %(rows)s) AS created,
                CASE WHEN n / 7 %% 100 < 5 THEN 'cancelled' WHEN n / 7 %% 100 >= 5 + %(dead)s THEN 'completed'
                     WHEN n / 7 %% 100 = 5 THEN 'quarantined' ELSE 'discarded' END AS state
            FROM generate_series(%(first)s::int, %(last)s::int) AS n
        ) AS numbered
    ) AS judged
    RETURNING id, tenant_id, kind, queue_id, state, error_type, error_message, created_at, started_at, finished_at
), execution AS (
    INSERT INTO scheduling_execution (id, tenant_id, job_id, queue_id, kind, number, fence, worker_id, outcome,
        predicted_us, measured_us, dispatched_at, started_at, ended_at, error_type, error_message, traceback)
    SELECT uuidv7(created_at + interval '1 second' - now()), tenant_id, id, queue_id, kind, 1, 1, NULL,
        CASE state WHEN 'completed' THEN state ELSE 'failed' END, 1000, 900, created_at + interval '1 second',
        started_at, finished_at, error_type, error_message, ''
    FROM made WHERE started_at IS NOT NULL
    RETURNING id, tenant_id, job_id, queue_id, outcome, dispatched_at, started_at, ended_at
), charge AS (
    INSERT INTO scheduling_charge (id, tenant_id, job_id, execution_id, queue_id, reason, microseconds, at)
    SELECT uuidv7(at - now()), tenant_id, job_id, e.id, queue_id, reason, us, at
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
    FROM execution e JOIN made m ON m.id = e.job_id,
        LATERAL (VALUES ('job.dispatched', 'dispatched', dispatched_at),
        ('execution.started', 'executing', e.started_at), ('execution.' || outcome, m.state, ended_at))
        AS line (name, state, at)
) AS happened
"""


def add_past(
    tenant_ids: Sequence[UUID],
    jobs: int,
    *,
    days: int = DAYS,
    kinds: Sequence[str] = ("noop",),
    queues: Sequence[str] = (QUEUE,),
    tags: Sequence[str] = (),
    payload: Mapping[str, str] | None = None,
    dead: int = 0,
) -> None:
    """Add jobs that ended within the last days, spread evenly over tenants, kinds, queues and hours.

    A tenth has the tags, ``dead`` of a hundred are dead letters.
    """
    values = {
        "tenants": list(tenant_ids),
        "queues": [queue_id(queue) for queue in queues],
        "kinds": list(kinds),
        "tags": list(tags),
        "payload": Jsonb(payload or {}),
        "dead": dead,
        "rows": jobs,
        "days": days,
        "counter": WORKER_SECONDS.key,
    }
    for first in range(1, jobs + 1, SLICE):
        run_statement(_PAST, {**values, "first": first, "last": min(first + SLICE - 1, jobs)})


def add_past_days() -> None:
    """Create the partitions of the last days and of today that do not exist; the history must be empty."""
    midnight = read_moment().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for table in HISTORY_TABLES:
        taken = {partition.since for partition in list_partitions(table)}
        for day in range(-DAYS, 1):
            _add_day(table, midnight + timedelta(days=day), taken)


def _add_day(table: str, starts_at: datetime, taken: set[UUID]) -> None:
    if uuid7_floor(starts_at) not in taken:
        with all_tenants():
            create_partition(table=table, starts_at=starts_at, ends_at=starts_at + timedelta(days=1))
