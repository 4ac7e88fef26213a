"""Leases: an execution belongs to its worker as long as the worker's heartbeats contain its id."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from scheduling.models import Worker
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

_BEAT = load_sql(__file__)["heartbeat"]


@dataclass(frozen=True, slots=True)
class Lease:
    """An execution that belongs to the worker for another LEASE_SECONDS, and what was requested of it."""

    execution_id: UUID
    is_cancel_requested: bool
    is_deadline_passed: bool
    is_yield_requested: bool


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """Load of a worker: slots in use and resident memory now, and the executions begun since the last heartbeat."""

    busy: int = 0
    memory_kib: int = 0
    begun: int = 0


@dataclass(frozen=True, slots=True)
class HeartbeatResult:
    """The result of a heartbeat; an execution that is not among ``leases`` no longer belongs to the worker."""

    is_worker_known: bool
    is_draining: bool
    queue_names: Sequence[str]
    leases: Mapping[UUID, Lease]


def heartbeat(
    *,
    worker_id: UUID,
    is_stopping: bool,
    execution_ids: Sequence[UUID],
    canary_age_seconds: float | None = None,
    queues: Sequence[str] | None = None,
    load: WorkerLoad = WorkerLoad(),
) -> HeartbeatResult:
    """Record that the worker is alive, and its load, and renew the leases of its executions, in one statement.

    An execution id stands for one dispatch, so that no fence is needed. ``canary_age_seconds`` is the time since one of
    the worker's children last answered a canary, ``queues`` the queues that the worker consumes.
    """
    values = {
        "worker_id": worker_id,
        "status": Worker.Status.STOPPING if is_stopping else Worker.Status.ONLINE,
        "lease_seconds": platform_settings.LEASE_SECONDS,
        "clock": time.time(),
        "canary_age": canary_age_seconds,
        "queues": None if queues is None else json.dumps(list(queues)),
        "execution_ids": list(execution_ids),
        **asdict(load),
    }
    with all_tenants():
        rows = fetch_all(_BEAT, values)
    return HeartbeatResult(
        is_worker_known=rows[0].status is not None,
        is_draining=rows[0].status == Worker.Status.DRAINING,
        queue_names=rows[0].queue_names,
        leases={
            row.execution_id: Lease(
                row.execution_id, row.is_cancel_requested, row.is_deadline_passed, row.is_yield_requested
            )
            for row in rows
            if row.execution_id is not None
        },
    )
