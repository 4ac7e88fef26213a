"""Tenants and backlogs by set statements, and a clean platform between two parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, connections
from psycopg.types.json import Jsonb

from jobsplatform.demo.provision import ACTOR
from scheduling.broker import Hint
from scheduling.models import Queue
from tenants.conf import OWNER_ALIAS
from tenants.context import acting_as, all_tenants
from tenants.ids import uuid7
from tenants.models import Tenant
from tenants.services.tenants import create_tenant, update_tenant

# One plan for all, so that they meet in one queue; the tenant's own factor makes the weight.
PLAN, QUEUE = "professional", "workflow_professional"
SLICE = 250_000
_CLEAR = """
TRUNCATE scheduling_job, scheduling_job_ready, scheduling_job_due, scheduling_job_held, scheduling_job_deadline,
    scheduling_execution_live, scheduling_execution, scheduling_charge, scheduling_jobevent, scheduling_settled,
    scheduling_wake, scheduling_tally, scheduling_schedulingentity, scheduling_tenant_capacity, scheduling_kind_cost,
    scheduling_tenant_kind_cost, scheduling_job_suspended, scheduling_worker CASCADE;
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
INSERT INTO scheduling_tenant_capacity (tenant_id, in_flight) SELECT unnest(%s::uuid[]), 0 ON CONFLICT DO NOTHING
"""
_ENTITIES = """
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, weight_milli, vruntime, is_runnable, in_flight, waiting,
    head_rank, estimate_us)
SELECT id, %(queue)s, 1000, 0, false, 0, 0, 0, 1000000 FROM unnest(%(tenants)s::uuid[]) AS id ON CONFLICT DO NOTHING
"""
_JOBS = """
WITH made AS (
    INSERT INTO scheduling_job (id, tenant_id, kind, queue_id, state, priority, rank, fair_key, tags, payload,
        payload_hash, attempt, crash_count, execution_count, max_retries, fence, progress_current, progress_total,
        progress_message, checkpoint, error_type, error_message, error_fingerprint, run_at, created_at)
    SELECT uuidv7(), (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])], %(kind)s, %(queue)s,
        'available', 0, (extract(epoch FROM now()) * 1000000)::bigint + n, '', '{}', %(payload)s,
        sha256(n::text::bytea), 0, 0, 0, 3, 0, 0, 0, '', '{}', '', '', '', now(), now()
    FROM generate_series(%(first)s::int, %(last)s::int) AS n
    RETURNING id, tenant_id, rank
)
INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind)
SELECT m.tenant_id, e.id, m.rank, m.id, %(kind)s
FROM made m JOIN scheduling_schedulingentity e ON e.tenant_id = m.tenant_id AND e.queue_id = %(queue)s
"""
# What submissions would have told: so many wait now, in every entity at once.
_TELL = """
INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
SELECT r.tenant_id, r.entity_id, %(queue)s, count(*) FROM scheduling_job_ready r
WHERE r.tenant_id = ANY (%(tenants)s) GROUP BY 1, 2
"""


def clear_platform() -> None:
    """No job, no history, no virtual time of the part before, and statistics as autovacuum would keep them."""
    with _owner() as owner:
        owner.execute(_CLEAR)
    analyse()


def analyse() -> None:
    """What autovacuum does in the background."""
    with _owner() as owner:
        owner.execute("VACUUM (ANALYZE)")


def create_tenants(weights: Sequence[int], *, cap: int = 1_000) -> list[Tenant]:
    """Tenants of one queue with these weights."""
    run = uuid7().hex[-6:]
    with acting_as(ACTOR):
        return [
            update_tenant(
                tenant=create_tenant(slug=f"fair-{number}-{run}", plan=PLAN),
                changes={"weight_factor": Decimal(weight), "max_concurrency": cap},
            )
            for number, weight in enumerate(weights)
        ]


def add_tenants(count: int) -> list[UUID]:
    """Many equal tenants by one statement, each with its entity, idle."""
    (like,) = create_tenants([1])
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_TENANTS, {"prefix": f"{like.slug}-", "count": count, "like": like.pk})
        ids = [tenant_id for (tenant_id,) in cursor.fetchall()]
    register(ids)
    return ids


def register(tenant_ids: Sequence[UUID]) -> None:
    """Give tenants their capacity and their entity, as their first submission would."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_CAPACITIES, [list(tenant_ids)])
        cursor.execute(_ENTITIES, {"queue": queue_id(), "tenants": list(tenant_ids)})


def fill_backlog(tenant_ids: Sequence[UUID], jobs: int, *, kind: str = "noop", payload: dict[str, Any]) -> None:
    """So many equal jobs, dealt out to the tenants in turn; the next tick finds them."""
    register(tenant_ids)
    values = {"tenants": list(tenant_ids), "queue": queue_id(), "kind": kind, "payload": Jsonb(payload)}
    for first in range(1, jobs + 1, SLICE):
        with all_tenants(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(_JOBS, {**values, "first": first, "last": min(first + SLICE - 1, jobs)})
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_TELL, values)


def queue_id() -> int:
    """The queue in which all of a part's tenants meet."""
    return Queue.objects.get(name=QUEUE).pk


def take_nothing(hints: Sequence[Hint]) -> Sequence[Hint]:
    """A broker that takes every hint and does nothing with it."""
    del hints
    return ()


@contextmanager
def _owner() -> Iterator[psycopg.Connection[Any]]:
    entry = connections[OWNER_ALIAS].settings_dict
    with psycopg.connect(
        host=entry["HOST"],
        port=entry["PORT"],
        user=entry["USER"],
        password=entry["PASSWORD"],
        dbname=entry["NAME"],
        autocommit=True,
    ) as owner:
        # FORCE binds the owner too; the clocks are every tenant's.
        yield owner
