"""Starts of executions: a worker takes the jobs that a message names, each under a new fence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.db import transaction
from psycopg.rows import dict_row

from scheduling import signals
from scheduling.conf import BY_INDEX
from scheduling.controls.queries import NO_CONTROLS, Controls, current_controls
from scheduling.limits.declared import PEAK_MEMORY
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.database.ids import uuid7s
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.encryption.data_keys import preload_keys, require_keys
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import SealedValueBrokenError, is_sealing, sealed_field

_SQL = load_sql(__file__)
_START_ONE, _START_MANY, _START_EACH = _SQL["start_one"], _SQL["start_many"], _SQL["start_each"]


@dataclass(frozen=True, slots=True)
class StartedExecution:
    """A job that this worker is running, or holds in a list; ``attempt`` is the current one, from 1.

    ``pickup_seconds`` is the time since its dispatch; ``wait_seconds`` the time since it could run, at its first start.
    Both, and ``is_expired``, are as of ``started_at``, which all executions of a merged message share. ``has_begun`` is
    False while it waits for its turn in a list; its fence is then that of its dispatch.
    ``plan_retry_delays_seconds`` None: the kind's own delays apply. ``unreadable`` is the reason why this worker cannot
    decrypt its payload or encrypt its result. ``controls`` are those in force at the start.
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
    is_list: bool = False
    expected_us: int = 0
    has_begun: bool = True
    controls: Controls = NO_CONTROLS

    @property
    def idempotency_key(self) -> str:
        """Return a key that is equal for every start of the job, for external systems that detect repeats."""
        return str(self.job_id)

    @property
    def owner(self) -> tuple[UUID, UUID] | None:
        """Return (tenant, job) if results are encrypted, else None."""
        return (self.tenant_id, self.job_id) if is_sealing() else None


class StartedTurn(NamedTuple):
    """An execution of a message that begins to run, as observers are notified of it."""

    tenant_id: UUID
    job_id: UUID
    execution_id: UUID
    kind: str
    queue: str
    tier: str
    pickup_seconds: float
    wait_seconds: float | None
    traceparent: str | None = None

    @classmethod
    def of(cls, started: StartedExecution, *, after_seconds: float = 0.0) -> StartedTurn:
        """Build the notification for an execution that begins ``after_seconds`` after its message was started."""
        return cls(
            started.tenant_id,
            started.job_id,
            started.execution_id,
            started.kind,
            started.queue,
            started.tier,
            started.pickup_seconds + after_seconds,
            None if started.wait_seconds is None else started.wait_seconds + after_seconds,
            started.traceparent,
        )


class StartRequest(NamedTuple):
    """The only execution of a message, the message's token, and the id of this receipt of it."""

    execution_id: UUID
    token: UUID
    hold_id: UUID


_SEALED = {name: sealed_field(Job, name) for name in ("payload", "checkpoint")}
# Columns of jsonb, which Django leaves as text.
_JSON = ("payload", "checkpoint", "plan_retry_delays_seconds")


def start_execution(*, execution_id: UUID, token: UUID, worker_id: UUID) -> StartedExecution | None:
    """Start one execution if ``token`` is its dispatch token and it has not been started.

    Return None for a repeated, late or unknown message.
    """
    started = start_executions(execution_ids=[execution_id], token=token, worker_id=worker_id)
    if not started:
        return None
    announce_starts([StartedTurn.of(started[0])])
    return started[0]


def start_executions(
    *, execution_ids: Sequence[UUID], token: UUID, worker_id: UUID, hold_id: UUID | None = None
) -> list[StartedExecution]:
    """Hold those executions of a message that have ``token`` and no other hold; return them in the same order.

    All of them start, except in a list: there only the first does. ``hold_id`` is the id of this receipt of the
    message, by default a new one; repeated with the same id, the call begins nothing and returns what the hold still
    has. It takes one statement, whatever their number.
    """
    # Messages are not trusted: one may name an execution twice.
    named = list(dict.fromkeys(execution_ids))
    hold = {"token": token, "hold_id": hold_id or uuid4()}

    def start(among: Sequence[UUID]) -> list[dict[str, Any]]:
        return _start(_START_ONE if len(among) == 1 else _START_MANY, among, worker_id, hold)

    return _started_of(start, named)


def start_each(requests: Sequence[StartRequest], *, worker_id: UUID) -> list[StartedExecution]:
    """Start the only executions of several messages as `start_executions` does, in one statement.

    If two messages name the same execution, the first is processed.
    """
    first = {request.execution_id: request for request in reversed(requests)}

    def start(among: Sequence[UUID]) -> list[dict[str, Any]]:
        own = [first[execution_id] for execution_id in among]
        holds = {"tokens": [one.token for one in own], "hold_ids": [one.hold_id for one in own]}
        return _start(_START_EACH, among, worker_id, holds)

    return _started_of(start, list(first))


def _started_of(
    start: Callable[[Sequence[UUID]], list[dict[str, Any]]], execution_ids: Sequence[UUID]
) -> list[StartedExecution]:
    with all_tenants(BY_INDEX):
        rows = start(execution_ids)
        # A live execution that does not match its job: the half that did match must not stay.
        astray = {row["execution_id"] for row in rows if row["fence"] != row.pop("job_fence")}
        if astray:
            transaction.set_rollback(True)
        else:
            # While a rollback is still possible: keys may have to be read.
            started = _read_rows(rows)
            controls = current_controls() if rows else NO_CONTROLS
    if astray:
        others = [execution_id for execution_id in execution_ids if execution_id not in astray]
        return _started_of(start, others) if others else []
    return [replace(one, controls=controls) for one in started] if controls is not NO_CONTROLS else started


def announce_starts(begun: Sequence[StartedTurn]) -> None:
    """Send the signal that these executions begin to run."""
    signals.executions_started.send(None, executions=begun)


def _start(
    statement: str, execution_ids: Sequence[UUID], worker_id: UUID, holds: Mapping[str, Any]
) -> list[dict[str, Any]]:
    values: dict[str, Any] = {
        "execution_ids": execution_ids,
        "event_ids": uuid7s(len(execution_ids)),
        "worker_id": worker_id,
        "lease_seconds": platform_settings.LEASE_SECONDS,
        "memory_key": PEAK_MEMORY.key,
        "memory_default": PEAK_MEMORY.default,
        **holds,
    }
    return fetch_all(statement, values, dict_row)


def _read_rows(rows: Sequence[dict[str, Any]]) -> list[StartedExecution]:
    if is_sealing():
        preload_keys(row["tenant_id"] for row in rows)
    return [_started(row) for row in rows]


def _started(columns: dict[str, Any]) -> StartedExecution:
    for name in _JSON:
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
