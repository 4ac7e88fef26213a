"""The start of executions: from a hint to the jobs themselves, each under a new fence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction

from scheduling import signals
from scheduling.conf import BY_INDEX, lease_seconds
from scheduling.limits import PEAK_MEMORY
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.encryption.data_keys import DataKeyUnavailableError, bring, is_sealing, require_keys
from tenants.encryption.fields import SealedValueBrokenError, sealed_field
from tenants.ids import uuid7s
from tenants.prepared import prepared_cursor

# All executions of a message at once. Memory limits are looked up by tenant, of whom a message has many.
_START = """
WITH named AS (
    SELECT * FROM unnest(%(execution_ids)s::uuid[], %(event_ids)s::uuid[]) WITH ORDINALITY
        AS n(id, event_id, position)
), <locked>begun AS (
    UPDATE scheduling_execution_live l SET
        started_at = statement_timestamp(), worker_id = %(worker_id)s, fence = l.fence + 1,
        lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
    WHERE l.id = <chosen> AND l.token = %(token)s AND l.started_at IS NULL
    RETURNING l.id, l.tenant_id, l.job_id, l.queue_id, l.message_id, l.kind, l.number, l.fence, l.dispatched_at
), job AS (
    UPDATE scheduling_job j SET
        state = 'executing', fence = b.fence, started_at = coalesce(j.started_at, statement_timestamp())
    FROM begun b
    WHERE j.id = b.job_id AND j.state = 'dispatched' AND j.fence = b.fence - 1
    RETURNING j.id, j.payload, j.attempt, j.crash_count, j.max_retries, j.checkpoint, j.deadline_at,
        j.fence, j.run_at, j.started_at, j.traceparent
), told AS (
    -- Joined once for all that need them. The lesser are among the greater: FULL only forbids a loop of all by all,
    -- which a plan for lists of any length would be.
    SELECT b.id, b.job_id, b.tenant_id, b.queue_id, b.message_id, b.kind, b.number, b.dispatched_at, n.event_id,
        n.position, j.fence, j.payload, j.attempt, j.crash_count, j.max_retries, j.checkpoint, j.deadline_at, j.run_at,
        j.started_at, j.traceparent
    FROM named n FULL JOIN begun b ON b.id = n.id FULL JOIN job j ON j.id = b.job_id
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, id, statement_timestamp(), 'execution.started', 'executing',
        'system', '', jsonb_build_object('number', number, 'worker', %(worker_id)s<place>)
    FROM told WHERE fence IS NOT NULL
)
SELECT b.id, b.job_id, b.tenant_id, b.kind, b.number, b.fence, b.payload, b.attempt + 1, b.crash_count,
    b.max_retries, b.checkpoint, b.deadline_at, coalesce(b.deadline_at <= now(), false),
    extract(epoch FROM now() - b.dispatched_at)::float8, coalesce(
        (SELECT o.value FROM tenants_tenantlimit o WHERE o.tenant_id = b.tenant_id AND o.key = %(memory_key)s
            AND (o.expires_at IS NULL OR o.expires_at > now())),
        (SELECT r.value FROM tenants_planlimit r WHERE r.plan_id = t.plan_id AND r.key = %(memory_key)s),
        %(memory_default)s),
    CASE WHEN b.started_at = statement_timestamp() THEN extract(epoch FROM now() - b.run_at)::float8 END,
    q.name, coalesce(p.tier_id, ''), extract(epoch FROM statement_timestamp())::float8, b.traceparent,
    -- What the plan says of the kind by name comes before what it says of every kind.
    coalesce(p.retry_rules -> b.kind -> 'delays_seconds', p.retry_rules -> '*' -> 'delays_seconds')
FROM told b JOIN scheduling_queue q ON q.id = b.queue_id
    LEFT JOIN tenants_tenant t ON t.id = b.tenant_id LEFT JOIN tenants_plan p ON p.id = t.plan_id
ORDER BY b.position
"""
# In one order everywhere: whoever takes several executions never waits for another in a ring. One needs no order.
_LOCKED = """locked AS (
    SELECT l.id FROM scheduling_execution_live l
    WHERE l.id = ANY(%(execution_ids)s) AND l.token = %(token)s AND l.started_at IS NULL
    ORDER BY l.id FOR NO KEY UPDATE
), """
_PLACE = """, 'message', message_id, 'position', row_number() OVER (ORDER BY position), 'size', count(*) OVER ()"""
_CHOSEN = "ANY(ARRAY(SELECT id FROM locked))"
_START_ONE = _START.replace("<locked>", "").replace("<chosen>", "ANY(%(execution_ids)s)").replace("<place>", "")
_START_MANY = _START.replace("<locked>", _LOCKED).replace("<chosen>", _CHOSEN).replace("<place>", _PLACE)


@dataclass(frozen=True, slots=True)
class StartedExecution:
    """A job in the hands of this worker; ``attempt`` is the one that begins, from 1.

    ``pickup_seconds`` is the time since its dispatch; ``wait_seconds`` that since it might run, at its first start.
    Both, and ``is_expired``, are as of ``started_at``, which all members of a message have in common.
    ``plan_retry_delays_seconds`` None: the kind's own count. ``unreadable`` says why what it was given cannot be opened
    here, or what it answers not be sealed.
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
    started_at: datetime
    traceparent: str | None = None
    plan_retry_delays_seconds: Sequence[float] | None = None
    unreadable: DataKeyUnavailableError | SealedValueBrokenError | None = None

    @property
    def idempotency_key(self) -> str:
        """The same for every start of the job, for systems outside that recognise repeats."""
        return str(self.job_id)

    @property
    def owner(self) -> tuple[UUID, UUID] | None:
        """Whose the result will be, where results are sealed: the tenant and the job."""
        return (self.tenant_id, self.job_id) if is_sealing() else None


class Begun(NamedTuple):
    """An execution whose turn has come, as observers are told."""

    tenant_id: UUID
    job_id: UUID
    execution_id: UUID
    kind: str
    queue: str
    tier: str
    pickup_seconds: float
    wait_seconds: float | None

    @classmethod
    def of(cls, started: StartedExecution, *, after_seconds: float = 0.0) -> Begun:
        """Its turn came so long after its message was begun."""
        return cls(
            started.tenant_id,
            started.job_id,
            started.execution_id,
            started.kind,
            started.queue,
            started.tier,
            started.pickup_seconds + after_seconds,
            None if started.wait_seconds is None else started.wait_seconds + after_seconds,
        )


_COLUMNS = tuple(field.name for field in fields(StartedExecution) if field.name != "unreadable")
_SEALED = {name: sealed_field(Job, name) for name in ("payload", "checkpoint")}
_FENCE = _COLUMNS.index("fence")
_TENANT = _COLUMNS.index("tenant_id")


def start_execution(*, execution_id: UUID, token: UUID, worker_id: UUID) -> StartedExecution | None:
    """Begin one execution if ``token`` is its latest and nobody else has begun it.

    None is the normal answer to a message that came twice, late, or from a stranger.
    """
    started = start_executions(execution_ids=[execution_id], token=token, worker_id=worker_id)
    if not started:
        return None
    announce_starts([Begun.of(started[0])])
    return started[0]


def start_executions(*, execution_ids: Sequence[UUID], token: UUID, worker_id: UUID) -> list[StartedExecution]:
    """Begin the executions of a message that carry ``token`` and that nobody has begun; those, in its order.

    One statement, whatever their number.
    """
    with all_tenants(BY_INDEX):
        rows = _start(execution_ids, token, worker_id)
        # A live execution that its job does not agree with: the half that did match must not stay.
        astray = {row[0] for row in rows if row[_FENCE] is None}
        if astray:
            transaction.set_rollback(True)
        else:
            # While it can still be undone: keys may have to be read.
            started = _read_rows(rows)
    if astray:
        others = [execution_id for execution_id in execution_ids if execution_id not in astray]
        return start_executions(execution_ids=others, token=token, worker_id=worker_id) if others else []
    return started


def announce_starts(begun: Sequence[Begun]) -> None:
    """Tell the observers whose turn has come."""
    signals.executions_started.send(None, executions=begun)


def _start(execution_ids: Sequence[UUID], token: UUID, worker_id: UUID) -> list[tuple[Any, ...]]:
    # A message may name one twice: whatever it says is believed by nobody.
    named = list(dict.fromkeys(execution_ids))
    with prepared_cursor() as cursor:
        cursor.execute(
            _START_ONE if len(named) == 1 else _START_MANY,
            {
                "execution_ids": named,
                "event_ids": uuid7s(len(named)),
                "token": token,
                "worker_id": worker_id,
                "lease_seconds": lease_seconds(),
                "memory_key": PEAK_MEMORY.key,
                "memory_default": PEAK_MEMORY.default,
            },
        )
        return list(cursor.fetchall())


def _read_rows(rows: Sequence[tuple[Any, ...]]) -> list[StartedExecution]:
    if is_sealing():
        bring(row[_TENANT] for row in rows)
    return [_started(row) for row in rows]


def _started(row: tuple[Any, ...]) -> StartedExecution:
    columns = dict(zip(_COLUMNS, row, strict=True))
    # Django leaves jsonb of its own cursors as text.
    for name in ("payload", "checkpoint", "plan_retry_delays_seconds"):
        columns[name] = None if columns[name] is None else json.loads(columns[name])
    columns["started_at"] = datetime.fromtimestamp(columns["started_at"], UTC)
    tenant_id, job_id = columns["tenant_id"], columns["job_id"]
    try:
        if is_sealing():
            require_keys(tenant_id)
        for name, field in _SEALED.items():
            columns[name] = field.opened(columns[name], tenant_id=tenant_id, row_id=job_id)
    except (DataKeyUnavailableError, SealedValueBrokenError) as error:
        columns |= {"payload": {}, "checkpoint": {}, "unreadable": error}
    return StartedExecution(**columns)
