"""Reads of everything that may keep one waiting job from starting, in two or three bounded statements."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from scheduling.breakers.rules import CircuitState
from scheduling.dispatch.locked_tenants import locked_since
from scheduling.dispatch.pick import memory_gate_parameters
from scheduling.fairness.gcra import Rate, take
from scheduling.kit import registry
from scheduling.limits.declared import WORKER_SECONDS
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import fetch_one
from tenants.database.reads import from_row
from tenants.database.sql import load_sql
from tenants.limits.usage import allowed_for

# A pool that was not ticked for longer has no dispatcher; older records of a pool are void.
TICK_AGE = timedelta(seconds=10)

_READ_STANDING = load_sql(__file__)["read_standing"]


@dataclass(frozen=True, slots=True)
class ActiveStop:
    """A pause, suspension or drain: whether it is on, its reason, and when it ends."""

    is_on: bool
    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ActiveCircuit(ActiveStop):
    """A breaker: whether it holds the job back; ``dependency`` is empty if it is the breaker of the kind itself."""

    dependency: str
    is_shared: bool
    is_forced: bool


@dataclass(frozen=True, slots=True)
class StartConditions:
    """Everything that a job's start depends on; the numbers cover all tenants and must not be shown to tenants."""

    now: datetime
    due_at: datetime | None
    suspension: ActiveStop
    tenant_pause: ActiveStop
    tenant_cap: int
    tenant_in_flight: int
    queue_pause: ActiveStop
    queue_cap: int | None
    queue_in_flight: int
    rate_opens_at: datetime | None
    kind_pause: ActiveStop
    circuit: ActiveCircuit
    region: str
    allowed_regions: list[str]
    data_regions: list[str]
    memory_mib: int
    memory_need: int
    is_kind_announced: bool
    is_key_full: bool
    pool_pause: ActiveStop
    pool_drain: ActiveStop
    slots: int
    in_flight: int
    is_ticked: bool
    is_broker_away: bool
    locked_since: datetime | None
    worker_seconds: int | None
    has_worker_time: bool
    used_up: str | None
    memory_limit_mib: int | None
    memory_in_use_mib: int

    def for_tenants(self) -> StartConditions:
        """Return a copy without what tenants must not see: the reasons of the platform's stops, and others' errors."""
        pause, drain = replace(self.pool_pause, reason=""), replace(self.pool_drain, reason="")
        circuit = self.circuit
        if circuit.is_shared and not circuit.is_forced:  # the error may be another tenant's
            circuit = replace(circuit, reason="")
        return replace(self, pool_pause=pause, pool_drain=drain, circuit=circuit)


def read_start_conditions(job: Job) -> StartConditions:
    """Return everything that a job's start depends on, by two statements of bounded cost."""
    with all_tenants(has_savepoint=False):  # the pool's executions in flight are of all tenants
        values: dict[str, Any] = {"job_id": job.pk, "tenant_id": job.tenant_id, "queue_id": job.queue_id}
        values |= {"kind": job.kind, "lease_seconds": platform_settings.LEASE_SECONDS, "usage": WORKER_SECONDS.key}
        values["needs"] = memory_gate_parameters()
        values |= {"concurrency_key": job.concurrency_key, "key_limit": registry.concurrency_limit(job.kind)}
        row = fetch_one(_READ_STANDING, values)
        allowed = allowed_for(job.tenant_id, WORKER_SECONDS)
    return from_row(
        StartConditions,
        row,
        suspension=ActiveStop(row.is_suspended, row.suspension_reason, row.suspended_until),
        tenant_pause=ActiveStop(row.is_tenant_paused, row.tenant_pause_reason, row.tenant_paused_until),
        queue_pause=ActiveStop(row.is_queue_paused, row.queue_pause_reason, row.queue_paused_until),
        rate_opens_at=_rate_opens_at(row.now, row.dispatches_per_minute, row.dispatch_burst, row.arrival_us),
        kind_pause=ActiveStop(row.is_kind_paused, row.kind_pause_reason, row.kind_paused_until),
        circuit=_circuit(row),
        pool_pause=ActiveStop(row.is_pool_paused, row.pool_pause_reason, row.pool_paused_until),
        memory_need=registry.memory_needs().get(job.kind, 0),
        pool_drain=ActiveStop(row.is_pool_drained, row.pool_drain_reason, row.pool_drained_until),
        is_ticked=is_recent(row.ticked_at, row.now),
        is_broker_away=is_recent(row.broker_away_at, row.now),
        locked_since=locked_since(_parsed(row.locked), row.now),
        worker_seconds=allowed,
        has_worker_time=allowed is None or row.worker_us < allowed * WORKER_SECONDS.counts_per_unit,
    )


def is_recent(moment: datetime | None, now: datetime) -> bool:
    """Return whether a dispatcher's record of a pool, made at ``moment``, is recent enough to be used."""
    return moment is not None and now - moment < TICK_AGE


def _parsed(value: Mapping[str, Any] | str | None) -> Mapping[str, Any] | None:
    """Return a JSON column as an object; Django's cursors give text."""
    parsed: Mapping[str, Any] | None = json.loads(value) if isinstance(value, str) else value
    return parsed


def _rate_opens_at(now: datetime, per_minute: int | None, burst: int | None, arrival_us: int) -> datetime | None:
    """Return when the queue's rate grants the next job; None if it grants one now, or there is no rate."""
    if per_minute is None:
        return None
    rate, now_us = Rate.of_queue(per_minute, burst), int(now.timestamp() * 1_000_000)
    wait_us = take(arrival_us, now_us, rate, 0).wait_us(rate)
    return now + timedelta(microseconds=wait_us) if wait_us else None


def _circuit(row: Any) -> ActiveCircuit:
    if row.circuit_state is None:
        return ActiveCircuit(is_on=False, reason="", until=None, dependency="", is_shared=False, is_forced=False)
    is_forced = row.circuit_state == CircuitState.FORCED_OPEN
    return ActiveCircuit(
        is_on=True,
        reason=row.circuit_forced_reason if is_forced else row.circuit_error_type,
        # While a probe runs, the end is unknown.
        until=None if row.circuit_state == CircuitState.HALF_OPEN else row.circuit_until,
        dependency=row.circuit_dependency,
        is_shared=row.is_circuit_shared,
        is_forced=is_forced,
    )
