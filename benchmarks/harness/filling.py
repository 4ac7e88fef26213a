"""Creation of tenants, backlogs and ended jobs by bulk SQL, and clearing of the platform between two parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, connections
from psycopg.types.json import Jsonb

from jobsplatform.demo.provision import ACTOR
from scheduling.limits.declared import WORKER_SECONDS
from scheduling.models import Queue
from scheduling.upkeep.partitions import HISTORY_TABLES, list_partitions
from tenants.context import acting_as, all_tenants
from tenants.database.clock import read_moment
from tenants.database.conf import OWNER_ALIAS
from tenants.database.ids import uuid7, uuid7_floor
from tenants.database.locks import LockClass
from tenants.database.partitions import create_partition
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant, update_tenant

# One plan for all, so that they share one queue; the tenant's own factor makes the weight.
PLAN, QUEUE = "professional", "tasks_professional"
SLICE = 250_000
# The predicted cost of a tenant's next job before any has run.
UNKNOWN_US = 1_000_000
# Consecutive jobs belong to tenants far apart, because tenants do not submit in the order of their creation. A prime,
# so that each round has one job of every tenant.
STRIDE = 7_919
_CLEAR = """
TRUNCATE scheduling_job, scheduling_job_ready, scheduling_job_due, scheduling_job_held, scheduling_job_deadline,
    scheduling_execution_live, scheduling_execution, scheduling_charge, scheduling_jobevent, scheduling_settled,
    scheduling_wake, scheduling_tally, scheduling_series_tally, scheduling_schedulingentity, scheduling_tenant_capacity,
    scheduling_kind_cost,
    scheduling_tenant_kind_cost, scheduling_job_suspended, scheduling_joblog, scheduling_joblogtally,
    scheduling_log_segment, scheduling_log_volume,
    scheduling_joberror, scheduling_concurrency_key, scheduling_concurrency_key_news, scheduling_unique_key,
    scheduling_worker, tenants_tenantusage CASCADE;
UPDATE scheduling_queue_clock SET vruntime = 0, virtual_time = 0, floor = 0, was_backlogged = false;
UPDATE scheduling_pool_clock SET virtual_time = 0, ticked_at = NULL;
"""
_TENANTS = """
INSERT INTO tenants_tenant SELECT (made.t).* FROM (
    SELECT jsonb_populate_record(t, jsonb_build_object('id', uuidv7(), 'slug', %(prefix)s || n)) AS t
    FROM tenants_tenant t, generate_series(1, %(count)s) AS n WHERE t.id = %(like)s
) AS made RETURNING id
"""
_CAPACITIES = """
INSERT INTO scheduling_tenant_capacity (tenant_id, in_flight) SELECT unnest(%(tenants)s::uuid[]), 0
ON CONFLICT DO NOTHING
"""
_ENTITIES = """
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, weight_milli, vruntime, is_runnable, in_flight, waiting,
    head_rank, estimate_us)
SELECT id, %(queue)s, 1000, 0, false, 0, 0, 0, %(estimate)s FROM unnest(%(tenants)s::uuid[]) AS id
ON CONFLICT DO NOTHING
"""
# A submission writes its wake-up in its own transaction: one per entity, or one per job if they were submitted one by
# one.
_JOBS = """
WITH made AS (
    INSERT INTO scheduling_job (id, tenant_id, kind, queue_id, state, priority, rank, fair_key, tags, payload,
        payload_hash, attempt, crash_count, execution_count, max_retries, fence, progress_current, progress_total,
        progress_message, checkpoint, error_type, error_message, error_fingerprint, run_at, created_at)
    SELECT uuidv7(), (%(tenants)s::uuid[])[1 + (n::bigint * %(stride)s) %% cardinality(%(tenants)s::uuid[])],
        %(kind)s, %(queue)s,
        'available', 0, (extract(epoch FROM now()) * 1000000)::bigint + n, '', '{}', %(payload)s,
        sha256(n::text::bytea), 0, 0, 0, 3, 0, 0, 0, '', '{}', '', '', '', now(), now()
    FROM generate_series(%(first)s::int, %(last)s::int) AS n
    RETURNING id, tenant_id, rank
), ready AS (
    INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, merge_disabled)
    SELECT m.tenant_id, e.id, m.rank, m.id, %(kind)s, %(alone)s
    FROM made m JOIN scheduling_schedulingentity e ON e.tenant_id = m.tenant_id AND e.queue_id = %(queue)s
    RETURNING tenant_id, entity_id, job_id
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, at, name, state, actor, request_id, data)
    SELECT uuidv7(), tenant_id, id, now(), 'job.submitted', 'available', 'system', '', '{}' FROM made
)
INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
SELECT tenant_id, entity_id, %(queue)s, count(*) FROM ready
GROUP BY tenant_id, entity_id, CASE WHEN %(one_by_one)s THEN job_id END
"""


def clear_platform() -> None:
    """Delete all jobs, their history and virtual times, and update the statistics."""
    with _owner() as owner:
        owner.execute(_CLEAR)
    analyse()


def analyse() -> None:
    """Vacuum and analyse all tables, as autovacuum does in the background."""
    with _owner() as owner:
        owner.execute("VACUUM (ANALYZE)")


def run_statement(statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Run a statement over all tenants' rows in its own transaction without a time limit, and return its rows.

    Without parameters, a percent sign is literal.
    """
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def create_tenants(weights: Sequence[int], *, cap: int = 1_000, plan: str = PLAN) -> list[Tenant]:
    """Create tenants of one plan with these weights."""
    run = uuid7().hex[-6:]
    with acting_as(ACTOR):
        return [
            update_tenant(
                tenant=create_tenant(slug=f"fair-{number}-{run}", plan=plan),
                changes={"weight_factor": Decimal(weight), "max_concurrency": cap},
            )
            for number, weight in enumerate(weights)
        ]


def add_tenants(count: int, *, estimate_us: int = UNKNOWN_US) -> list[UUID]:
    """Create equal idle tenants by one statement, return their ids; ``estimate_us`` is a job's predicted cost."""
    (like,) = create_tenants([1])
    ids = [id_ for (id_,) in run_statement(_TENANTS, {"prefix": f"{like.slug}-", "count": count, "like": like.pk})]
    register(ids, estimate_us=estimate_us)
    return ids


def register(tenant_ids: Sequence[UUID], *, queue: str = QUEUE, estimate_us: int = UNKNOWN_US) -> None:
    """Create the tenants' capacities and entities, as their first submission would."""
    values = {"queue": queue_id(queue), "tenants": list(tenant_ids), "estimate": estimate_us}
    run_statement(_CAPACITIES, {"tenants": list(tenant_ids)})
    run_statement(_ENTITIES, values)


def fill_backlog(
    tenant_ids: Sequence[UUID],
    jobs: int,
    *,
    kind: str = "noop",
    payload: dict[str, Any],
    queue: str = QUEUE,
    merge_disabled: bool = False,
    one_by_one: bool = False,
) -> None:
    """Add equal jobs to the waiting ones, one of each tenant per round; the next tick finds them."""
    register(tenant_ids, queue=queue)
    values = {"tenants": list(tenant_ids), "queue": queue_id(queue), "kind": kind, "payload": Jsonb(payload)}
    values |= {"stride": STRIDE, "alone": merge_disabled, "one_by_one": one_by_one}
    for first in range(1, jobs + 1, SLICE):
        run_statement(_JOBS, {**values, "first": first, "last": min(first + SLICE - 1, jobs)})


def queue_id(name: str = QUEUE) -> int:
    """Return the id of a queue, by default of the one that most parts use."""
    return Queue.objects.get(name=name).pk


def ask(statement: str, parameters: Sequence[object] = ()) -> int:
    """Return the one number of a statement over all tenants' rows; 0 for NULL."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        return int(cursor.fetchone()[0] or 0)


@contextmanager
def lasting_lock(lock: LockClass) -> Iterator[None]:
    """Hold the lock of a duty, so that no process runs it."""
    with _owner() as owner:
        owner.execute("SET lock_timeout = '60s'")
        owner.execute("SELECT pg_advisory_lock(%s, 0)", [lock.value])
        yield


def _owner() -> psycopg.Connection[Any]:
    """Return a connection of the tables' owner; FORCE binds the owner too, and the clocks belong to no tenant."""
    entry = connections[OWNER_ALIAS].settings_dict
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    return psycopg.connect(autocommit=True, **{name: entry[key] for name, key in names.items()})


DAYS = 7

# Of a hundred jobs five were cancelled before they started, `dead` failed permanently, and the others completed. A job
# without a failure leaves four events, two charges and one execution. Tenant, queue, kind, state and tag use different
# digits of a job's number, so they do not correlate. Ids contain the time of their rows, so a row is in the partition
# of its day; within a job they rise.
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
            SELECT n, now() - make_interval(secs => %(age)s)
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
    tenant_ids: Sequence[UUID], jobs: int, *, queues: Sequence[str] = (QUEUE,), payload: Any = None, **changed: Any
) -> None:
    """Add jobs of ``days``, the last ``age`` seconds old, spread evenly over tenants, ``kinds``, queues and hours.

    A tenth has the ``tags``; ``dead`` of a hundred are dead letters.
    """
    values = {
        "kinds": ["noop"],
        "tags": [],
        "dead": 0,
        "days": DAYS,
        "age": 60,
        "counter": WORKER_SECONDS.key,
        **changed,
    }
    values |= {"tenants": list(tenant_ids), "queues": [queue_id(queue) for queue in queues], "rows": jobs}
    values |= {"payload": Jsonb(payload or {})}
    for first in range(1, jobs + 1, SLICE):
        run_statement(_PAST, {**values, "first": first, "last": min(first + SLICE - 1, jobs)})


def add_past_days() -> None:
    """Create the missing partitions of the last days and of today; the history must be empty."""
    midnight = read_moment().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for table in HISTORY_TABLES:
        taken = {partition.since for partition in list_partitions(table)}
        for starts_at in (midnight + timedelta(days=day) for day in range(-DAYS, 1)):
            if uuid7_floor(starts_at) not in taken:
                with all_tenants():
                    create_partition(table=table, starts_at=starts_at, ends_at=starts_at + timedelta(days=1))
