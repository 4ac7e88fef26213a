"""Tenants whose rows another transaction holds: a tick leaves them out, and serves them once they are free.

A tick waits at most LOCK_TIMEOUT_MS for a lock. After a longer wait it is rolled back and repeated carefully: it probes
first which tenants it can lock, and touches the rows of these alone. The others are noted with the pool, and each tick
of the pool is careful while any is noted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from django.db import OperationalError, transaction

from scheduling import signals
from scheduling.conf import STAGE_ROWS, TICK_JOBS, WAKE_ROWS
from scheduling.limits import PEAK_MEMORY, WORKER_SECONDS
from tenants.locks import LockClass
from tenants.prepared import prepared_cursor

# So long after the last lock that was met the ticks of a pool stay careful: to be careless costs a lock's time-out.
CAREFUL_SECONDS = 5.0
# A tenant that was left out for so long comes back as from a pause, without credit.
PAUSE_SECONDS = 1.0

# Whether a row may be touched by this tick; one that is not careful has no list.
IS_FREE = "(%(free)s::uuid[] IS NULL OR {row}.tenant_id = ANY(%(free)s::uuid[]))"

# Every row of a tenant that a tick may write or refer to is locked here, if that needs no waiting. What another pool's
# tick holds counts as free, since that ends at once.
_PROBE = f"""
WITH place AS MATERIALIZED (
    SELECT id FROM scheduling_queue WHERE pool_id = %(pool_id)s
), candidate AS MATERIALIZED (
    SELECT tenant_id FROM scheduling_settled WHERE queue_id = ANY(ARRAY(SELECT id FROM place))
    UNION (SELECT tenant_id FROM scheduling_wake WHERE queue_id = ANY(ARRAY(SELECT id FROM place))
        ORDER BY is_bulk LIMIT %(wakes)s)
    UNION SELECT e.tenant_id FROM place CROSS JOIN LATERAL (
        SELECT tenant_id FROM scheduling_schedulingentity e
        WHERE e.queue_id = place.id AND e.is_runnable AND e.parent_id IS NULL ORDER BY e.vruntime LIMIT %(jobs)s) e
    UNION SELECT e.tenant_id FROM place CROSS JOIN LATERAL (
        SELECT tenant_id FROM scheduling_schedulingentity e
        WHERE e.queue_id = place.id AND e.is_runnable AND e.parent_id IS NULL ORDER BY e.head_rank LIMIT %(jobs)s) e
    UNION (SELECT tenant_id FROM scheduling_circuit_news ORDER BY id LIMIT %(news)s)
    UNION SELECT tenant_id FROM scheduling_execution_live WHERE pool_id = %(pool_id)s
    UNION SELECT name::uuid FROM scheduling_pool_clock CROSS JOIN LATERAL jsonb_object_keys(locked_tenants) AS name
        WHERE pool_id = %(pool_id)s
), tenant AS (
    SELECT t.id FROM tenants_tenant t JOIN candidate c ON c.tenant_id = t.id FOR KEY SHARE OF t SKIP LOCKED
), capacity AS (
    SELECT r.tenant_id FROM scheduling_tenant_capacity r JOIN candidate USING (tenant_id)
    FOR NO KEY UPDATE OF r SKIP LOCKED
), entity AS (
    SELECT r.id FROM scheduling_schedulingentity r JOIN candidate USING (tenant_id)
    WHERE r.queue_id = ANY(ARRAY(SELECT id FROM place)) FOR NO KEY UPDATE OF r SKIP LOCKED
), usage AS (
    SELECT r.tenant_id, r.key, r.period FROM tenants_tenantusage r JOIN candidate USING (tenant_id)
    WHERE r.key = ANY(%(keys)s) FOR NO KEY UPDATE OF r SKIP LOCKED
), cost AS (
    SELECT r.tenant_id, r.kind FROM scheduling_tenant_kind_cost r JOIN candidate USING (tenant_id)
    FOR NO KEY UPDATE OF r SKIP LOCKED
), breaker AS (
    SELECT r.id FROM scheduling_circuit_breaker r JOIN candidate USING (tenant_id) FOR NO KEY UPDATE OF r SKIP LOCKED
), held AS (
    SELECT r.id AS tenant_id, r.xmax AS holder FROM tenants_tenant r JOIN candidate c ON c.tenant_id = r.id
    WHERE r.id NOT IN (SELECT id FROM tenant)
    UNION ALL SELECT r.tenant_id, r.xmax FROM scheduling_tenant_capacity r JOIN candidate USING (tenant_id)
    WHERE r.tenant_id NOT IN (SELECT tenant_id FROM capacity)
    UNION ALL SELECT r.tenant_id, r.xmax FROM scheduling_schedulingentity r JOIN candidate USING (tenant_id)
    WHERE r.queue_id = ANY(ARRAY(SELECT id FROM place)) AND r.id NOT IN (SELECT id FROM entity)
    UNION ALL SELECT r.tenant_id, r.xmax FROM tenants_tenantusage r JOIN candidate USING (tenant_id)
    WHERE r.key = ANY(%(keys)s) AND (r.tenant_id, r.key, r.period) NOT IN (SELECT * FROM usage)
    UNION ALL SELECT r.tenant_id, r.xmax FROM scheduling_tenant_kind_cost r JOIN candidate USING (tenant_id)
    WHERE (r.tenant_id, r.kind) NOT IN (SELECT * FROM cost)
    UNION ALL SELECT r.tenant_id, r.xmax FROM scheduling_circuit_breaker r JOIN candidate USING (tenant_id)
    WHERE r.id NOT IN (SELECT id FROM breaker)
), granted AS MATERIALIZED (
    SELECT pid, locktype, transactionid, classid FROM pg_locks WHERE granted AND EXISTS (SELECT FROM held)
), foreign_held AS (
    SELECT h.tenant_id, max(g.pid) AS pid
    FROM held h LEFT JOIN granted g ON g.locktype = 'transactionid' AND g.transactionid = h.holder
    WHERE NOT EXISTS (SELECT FROM granted t
        WHERE t.pid = g.pid AND t.locktype = 'advisory' AND t.classid = {LockClass.TICK.value}::oid)
    GROUP BY 1
)
SELECT c.tenant_id, f.tenant_id IS NOT NULL, f.pid, p.locked_tenants ? c.tenant_id::text
FROM scheduling_pool_clock p CROSS JOIN candidate c LEFT JOIN foreign_held f USING (tenant_id)
WHERE p.pool_id = %(pool_id)s
"""  # noqa: S608 - constants
_HOLDERS_OF_CAPACITY = f"""
SELECT c.tenant_id, g.pid
FROM scheduling_tenant_capacity c JOIN pg_locks g
    ON g.granted AND g.locktype = 'transactionid' AND g.transactionid = c.xmax AND g.pid <> pg_backend_pid()
WHERE c.tenant_id = ANY(%(tenants)s::uuid[]) AND NOT EXISTS (SELECT FROM pg_locks t
    WHERE t.granted AND t.pid = g.pid AND t.locktype = 'advisory' AND t.classid = {LockClass.TICK.value}::oid)
"""  # noqa: S608 - constants
_NOW = "extract(epoch FROM clock_timestamp())::float8"
_NOTE = f"""
UPDATE scheduling_pool_clock p SET locked_tenants = (
    SELECT coalesce(jsonb_object_agg(name, entry), '{{}}') FROM (
        SELECT h.tenant_id::text AS name, jsonb_build_object(
            'seen', {_NOW}, 'pid', h.pid, 'is_whole', %(is_whole)s::bool,
            'since', coalesce((p.locked_tenants -> h.tenant_id::text ->> 'since')::float8, {_NOW})) AS entry
        FROM unnest(%(tenants)s::uuid[], %(pids)s::int[]) AS h(tenant_id, pid)
        UNION ALL
        SELECT name, CASE WHEN name::uuid = ANY(%(free)s::uuid[]) THEN entry || '{{"is_whole": false}}' ELSE entry END
        FROM jsonb_each(p.locked_tenants) AS e(name, entry)
        WHERE name::uuid <> ALL(%(tenants)s::uuid[]) AND (entry ->> 'seen')::float8 > {_NOW} - %(careful_seconds)s
    ) AS entries
)
WHERE p.pool_id = %(pool_id)s
"""  # noqa: S608 - constants
# As of a tenant that was paused: the fold of the wake puts it where its siblings are.
_COME_BACK = """
WITH back AS (
    SELECT name::uuid AS tenant_id
    FROM scheduling_pool_clock CROSS JOIN LATERAL jsonb_each(locked_tenants) AS e(name, entry)
    WHERE pool_id = %(pool_id)s AND name::uuid = ANY(%(free)s::uuid[]) AND (entry ->> 'is_whole')::bool
        AND (entry ->> 'seen')::float8 - (entry ->> 'since')::float8 >= %(pause_seconds)s
), entity AS (
    UPDATE scheduling_schedulingentity e SET is_runnable = false
    FROM back b, scheduling_queue q
    WHERE e.tenant_id = b.tenant_id AND e.parent_id IS NULL AND q.id = e.queue_id AND q.pool_id = %(pool_id)s
    RETURNING e.tenant_id, e.id, e.queue_id
)
INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
SELECT tenant_id, id, queue_id, 0 FROM entity
"""


def is_lock_timeout(error: OperationalError) -> bool:
    """Return whether the statement gave up waiting for a lock."""
    return isinstance(error.__cause__, psycopg.errors.LockNotAvailable)


def lock_what_is_free(pool_id: int) -> tuple[list[UUID], bool]:
    """Lock the tenants that this tick may touch, note the others; whether any of the first has come back."""
    values: dict[str, Any] = {
        "pool_id": pool_id,
        "wakes": WAKE_ROWS,
        "jobs": TICK_JOBS,
        "news": STAGE_ROWS,
        "keys": [WORKER_SECONDS.key, PEAK_MEMORY.key],
    }
    with prepared_cursor() as cursor:
        cursor.execute(_PROBE, values)
        rows = cursor.fetchall()
        free = [tenant_id for tenant_id, is_held, *_ in rows if not is_held]
        cursor.execute(_COME_BACK, {"pool_id": pool_id, "free": free, "pause_seconds": PAUSE_SECONDS})
        has_come_back = cursor.rowcount > 0
    held = {tenant_id: pid for tenant_id, is_held, pid, _ in rows if is_held}
    note_locked(pool_id, held, free=free)
    new = {tenant_id: pid for tenant_id, is_held, pid, is_noted in rows if is_held and not is_noted}
    if new:
        transaction.on_commit(lambda: signals.tenants_left_out.send(None, pool_id=pool_id, holders=new))
    return free, has_come_back


def note_locked(
    pool_id: int, holders: Mapping[UUID, int | None], *, free: Sequence[UUID] = (), is_whole: bool = True
) -> None:
    """Note tenants whose rows are held, with the server processes that hold them; forget what was long ago.

    ``is_whole`` False: of some of their jobs only.
    """
    values: dict[str, Any] = {
        "pool_id": pool_id,
        "tenants": list(holders),
        "pids": list(holders.values()),
        "is_whole": is_whole,
        "free": list(free),
        "careful_seconds": CAREFUL_SECONDS,
    }
    with prepared_cursor() as cursor:
        cursor.execute(_NOTE, values)


def note_held_capacities(pool_id: int, tenant_ids: Collection[UUID]) -> None:
    """Note the tenants whose capacity is held by another transaction than a tick; the next tick leaves them out."""
    with prepared_cursor() as cursor:
        cursor.execute(_HOLDERS_OF_CAPACITY, {"tenants": list(tenant_ids)})
        holders = dict(cursor.fetchall())
    if holders:
        note_locked(pool_id, holders)
