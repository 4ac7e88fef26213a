"""The start of an execution: from a hint to the job itself, under a new fence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from scheduling import signals
from scheduling.conf import lease_seconds
from scheduling.limits import PEAK_MEMORY
from tenants.context import all_tenants
from tenants.ids import uuid7

_START = """
WITH begun AS (
    UPDATE scheduling_execution_live SET
        started_at = now(), worker_id = %(worker_id)s, fence = fence + 1,
        lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
    WHERE id = %(execution_id)s AND token = %(token)s AND started_at IS NULL
    RETURNING id, tenant_id, job_id, queue_id, kind, number, fence, dispatched_at
), job AS (
    UPDATE scheduling_job j SET
        state = 'executing', fence = b.fence, started_at = coalesce(j.started_at, now())
    FROM begun b
    WHERE j.id = b.job_id AND j.state = 'dispatched' AND j.fence = b.fence - 1
    RETURNING j.id, j.payload, j.attempt, j.crash_count, j.max_retries, j.checkpoint, j.deadline_at,
        j.fence, j.run_at, j.traceparent
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT %(event_id)s, b.tenant_id, b.job_id, b.id, now(), 'execution.started', 'executing', 'system', '',
        jsonb_build_object('number', b.number, 'worker', %(worker_id)s)
    FROM begun b JOIN job j ON j.id = b.job_id
)
SELECT b.id, b.job_id, b.tenant_id, b.kind, b.number, j.fence, j.payload, j.attempt + 1, j.crash_count,
    j.max_retries, j.checkpoint, j.deadline_at, coalesce(j.deadline_at <= now(), false),
    extract(epoch FROM now() - b.dispatched_at)::float8, coalesce(
        (SELECT o.value FROM tenants_tenantlimit o WHERE o.tenant_id = b.tenant_id AND o.key = %(memory_key)s
            AND (o.expires_at IS NULL OR o.expires_at > now())),
        (SELECT r.value FROM tenants_planlimit r JOIN tenants_tenant t ON t.plan_id = r.plan_id
            WHERE t.id = b.tenant_id AND r.key = %(memory_key)s),
        %(memory_default)s),
    CASE WHEN j.fence = 1 THEN extract(epoch FROM now() - j.run_at)::float8 END,
    q.name, coalesce(p.tier_id, ''), j.traceparent
FROM begun b JOIN job j ON j.id = b.job_id JOIN scheduling_queue q ON q.id = b.queue_id
    LEFT JOIN tenants_tenant t ON t.id = b.tenant_id LEFT JOIN tenants_plan p ON p.id = t.plan_id
"""


@dataclass(frozen=True, slots=True)
class StartedExecution:
    """A job in the hands of this worker; ``attempt`` is the one that begins, from 1.

    ``pickup_seconds`` is the time since its dispatch; ``wait_seconds`` that since it might run, at its first start.
    """

    execution_id: UUID
    job_id: UUID
    tenant_id: UUID
    kind: str
    number: int
    fence: int
    payload: Mapping[str, Any]
    attempt: int
    crash_count: int
    max_retries: int
    checkpoint: Mapping[str, Any]
    deadline_at: datetime | None
    is_expired: bool
    pickup_seconds: float
    memory_limit_mib: int | None
    wait_seconds: float | None
    queue: str
    tier: str
    traceparent: str | None = None

    @property
    def idempotency_key(self) -> str:
        """The same for every start of the job, for systems outside that recognise repeats."""
        return str(self.job_id)


_COLUMNS = tuple(field.name for field in fields(StartedExecution))


def start_execution(*, execution_id: UUID, token: UUID, worker_id: UUID) -> StartedExecution | None:
    """Begin the execution if ``token`` is its latest and nobody else has begun it.

    None is the normal answer to a message that came twice, late, or from a stranger.
    """
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            _START,
            {
                "execution_id": execution_id,
                "token": token,
                "worker_id": worker_id,
                "lease_seconds": lease_seconds(),
                "event_id": uuid7(),
                "memory_key": PEAK_MEMORY.key,
                "memory_default": PEAK_MEMORY.default,
            },
        )
        row = cursor.fetchone()
        if row is None:
            # Either nothing matched, or the job does not agree with its live execution; then
            # the half that did match must not stay.
            transaction.set_rollback(True)
            return None
    started = _started(row)
    signals.execution_started.send(
        None,
        tenant_id=started.tenant_id,
        job_id=started.job_id,
        execution_id=started.execution_id,
        kind=started.kind,
        queue=started.queue,
        tier=started.tier,
        pickup_seconds=started.pickup_seconds,
        wait_seconds=started.wait_seconds,
    )
    return started


def _started(row: tuple[Any, ...]) -> StartedExecution:
    columns = dict(zip(_COLUMNS, row, strict=True))
    # Django leaves jsonb of its own cursors as text.
    for name in ("payload", "checkpoint"):
        columns[name] = json.loads(columns[name])
    return StartedExecution(**columns)
