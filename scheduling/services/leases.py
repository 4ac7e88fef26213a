"""Leases: an execution is its worker's as long as the worker's heartbeat names it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from scheduling.conf import lease_seconds
from scheduling.models import Worker
from tenants.context import all_tenants
from tenants.prepared import prepared_cursor

_BEAT = """
WITH beat AS (
    -- Somebody's word that it drains outlives its own that it is online.
    UPDATE scheduling_worker SET heartbeat_at = now(), stopped_at = NULL,
        status = CASE WHEN status = 'draining' AND %(status)s = 'online' THEN status ELSE %(status)s END,
        queues = coalesce(%(queues)s::jsonb, queues),
        clock_skew_seconds = %(clock)s - extract(epoch FROM clock_timestamp()),
        canary_at = coalesce(now() - make_interval(secs => %(canary_age)s), canary_at)
    WHERE id = %(worker_id)s RETURNING status, pool_id
), held AS (
    -- One that is just being settled is not renewed: that may wait long for a lock, and all the others would.
    SELECT l.id FROM scheduling_execution_live l
        JOIN unnest(%(execution_ids)s::uuid[], %(fences)s::bigint[]) AS held(id, fence) USING (id, fence)
    WHERE l.started_at IS NOT NULL ORDER BY l.id FOR NO KEY UPDATE OF l SKIP LOCKED
), renewed AS (
    UPDATE scheduling_execution_live l
    SET lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
    FROM held WHERE l.id = held.id
    RETURNING l.id, l.job_id, l.cancel_requested_at IS NOT NULL AS is_cancel_requested,
        l.yield_requested_at IS NOT NULL AS is_yield_requested
), ours AS (
    SELECT * FROM renewed
    UNION ALL
    SELECT l.id, l.job_id, l.cancel_requested_at IS NOT NULL, l.yield_requested_at IS NOT NULL
    FROM scheduling_execution_live l
        JOIN unnest(%(execution_ids)s::uuid[], %(fences)s::bigint[]) AS busy(id, fence) USING (id, fence)
    WHERE l.started_at IS NOT NULL AND l.id NOT IN (SELECT id FROM held)
)
SELECT (SELECT status FROM beat),
    ARRAY(SELECT q.name FROM scheduling_queue q JOIN beat USING (pool_id) ORDER BY q.name),
    r.id, r.is_cancel_requested, coalesce(d.deadline_at <= now(), false),
    r.is_yield_requested
FROM (SELECT) one
LEFT JOIN ours r ON true
LEFT JOIN scheduling_job_deadline d ON d.job_id = r.job_id
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """An execution that is ours for another LEASE_SECONDS, and what is wanted of it."""

    execution_id: UUID
    is_cancel_requested: bool
    is_deadline_passed: bool
    is_yield_requested: bool


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a heartbeat; an execution that is not among ``leases`` is not ours any more."""

    is_worker_known: bool
    is_draining: bool
    queue_names: Sequence[str]
    leases: Mapping[UUID, Lease]


def heartbeat(
    *,
    worker_id: UUID,
    is_stopping: bool,
    fences: Mapping[UUID, int],
    canary_age_seconds: float | None = None,
    queues: Sequence[str] | None = None,
) -> Beat:
    """Say that the worker lives, and renew the leases of ``fences`` (execution id → fence) in one statement.

    ``canary_age_seconds`` is how long ago one of its children last answered a canary, ``queues`` what it reads.
    """
    with all_tenants(), prepared_cursor() as cursor:
        cursor.execute(
            _BEAT,
            {
                "worker_id": worker_id,
                "status": Worker.Status.STOPPING if is_stopping else Worker.Status.ONLINE,
                "lease_seconds": lease_seconds(),
                "clock": time.time(),
                "canary_age": canary_age_seconds,
                "queues": None if queues is None else json.dumps(list(queues)),
                "execution_ids": list(fences.keys()),
                "fences": list(fences.values()),
            },
        )
        rows = cursor.fetchall()
    leases = [Lease(*row[2:]) for row in rows if row[2] is not None]
    status, queue_names = rows[0][:2]
    return Beat(
        is_worker_known=status is not None,
        is_draining=status == Worker.Status.DRAINING,
        queue_names=queue_names,
        leases={lease.execution_id: lease for lease in leases},
    )
