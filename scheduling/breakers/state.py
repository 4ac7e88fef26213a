"""The part of the dispatcher's tick that applies reported results to the circuit breakers and releases waiting jobs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.rows import scalar_row

from scheduling import signals
from scheduling.breakers.rules import (
    CircuitName,
    CircuitPolicy,
    CircuitRecord,
    CircuitState,
    ExecutionEnd,
    next_breaker_state,
)
from scheduling.breakers.service import circuit_target
from scheduling.conf import STAGE_ROWS, circuit_policy
from scheduling.dispatch.broker import wake_on_commit
from scheduling.dispatch.leadership import try_to_lead
from scheduling.exceptions import KindUnknownError
from scheduling.kit import registry
from tenants.audit.service import record_audit
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_all, fetch_one
from tenants.database.reads import from_row
from tenants.database.sql import load_sql
from tenants.encryption.error_texts import is_sealed_text

# The most breakers that one turn half-opens or forgets.
PROBES = 500
# Well above the longest default retry delay, so that a retried failure still finds its breaker.
IDLE_SECONDS = 3600.0
_SQL = load_sql(__file__)
_TAKE_NEWS, _LOCK_STANDINGS = _SQL["consume_news"], _SQL["lock_circuits"]
_PUT_STANDINGS, _FORGET = _SQL["upsert_circuits"], _SQL["forget"]
_TRY_AGAIN, _CLOSE_UNNEEDED, _RETURN_JOBS = _SQL["try_again"], _SQL["close_unneeded"], _SQL["return_jobs"]
_FORGET_IDLE, _RETURN_ORPHANS = _SQL["forget_idle"], _SQL["return_orphans"]


@dataclass(frozen=True, slots=True)
class _Row:
    """A breaker's record with the id of its row."""

    id: int
    standing: CircuitRecord


def update_circuits(free: list[UUID] | None = None) -> int:
    """Apply reported results to the breakers, open and close them, and release jobs; return how many were released.

    Only one process at a time does this; in others it returns 0. With ``free``, apply only results of these tenants.
    """
    if not try_to_lead(LockClass.CIRCUITS):
        return 0
    _fold_news(circuit_policy(), free)
    _run(_CLOSE_UNNEEDED)
    return _run(_TRY_AGAIN) + _run(_RETURN_JOBS)


def prune_circuits() -> int:
    """Delete idle breakers, and release jobs whose breaker no longer exists; return how many jobs were released.

    Any number of dispatchers may call this; one does the work.
    """
    with all_tenants():
        if not try_to_lead(LockClass.CIRCUITS_TENDED):
            return 0
        _run(_FORGET_IDLE)
        returned = _run(_RETURN_ORPHANS)
        if returned:
            wake_on_commit()
        return returned


def _fold_news(policy: CircuitPolicy, free: list[UUID] | None) -> None:
    endings, now = _take_news(free)
    if now is None:
        return
    before = _read_standings([name for name in endings if _has_circuit(name)])
    after = {
        name: next_breaker_state(name, before[name].standing if name in before else None, news, policy, now)
        for name, news in endings.items()
        if _has_circuit(name)
    }
    _write(before, after)
    for name, standing in after.items():
        was = before[name].standing if name in before else None
        if standing is not None and standing.state is CircuitState.OPEN and standing != was:
            _tell_opened(name, standing, again=was is not None and was.state is CircuitState.HALF_OPEN)


def _take_news(free: list[UUID] | None) -> tuple[Mapping[CircuitName, list[ExecutionEnd]], datetime | None]:
    """Delete the oldest reported results and return them by breaker, with the database's time.

    With ``free``, only results of these tenants are taken. A result for a shared dependency is returned for the
    tenant's breaker and for the shared one.
    """
    endings: dict[CircuitName, list[ExecutionEnd]] = defaultdict(list)
    now = None
    for row in fetch_all(_TAKE_NEWS, {"limit": STAGE_ROWS, "free": free}):
        now = row.now
        ending = from_row(ExecutionEnd, row)
        for owner in (row.tenant_id, None) if row.is_shared else (row.tenant_id,):
            # A shared breaker is of no tenant, so that it could not open the text.
            is_kept = owner is not None or not is_sealed_text(ending.error_message)
            kept = ending if is_kept else replace(ending, error_message="")
            endings[CircuitName(owner, row.kind, row.dependency)].append(kept)
    return endings, now


def _read_standings(names: list[CircuitName]) -> dict[CircuitName, _Row]:
    if not names:
        return {}
    values: dict[str, Any] = {
        "tenant_ids": [name.tenant_id for name in names],
        "kinds": [name.kind for name in names],
        "dependencies": [name.dependency for name in names],
    }
    return {
        CircuitName(row.tenant_id, row.kind, row.dependency): _Row(row.id, _standing_of(row))
        for row in fetch_all(_LOCK_STANDINGS, values)
    }


def _standing_of(row: Any) -> CircuitRecord:
    return from_row(CircuitRecord, row, state=CircuitState(row.state), tenants=_parsed(row.tenants))


def _write(before: Mapping[CircuitName, _Row], after: Mapping[CircuitName, CircuitRecord | None]) -> None:
    put = {
        name: standing
        for name, standing in after.items()
        if standing is not None and (name not in before or standing != before[name].standing)
    }
    gone = [before[name].id for name, standing in after.items() if standing is None and name in before]
    if put:
        execute(_PUT_STANDINGS, _columns_of(put))
    if gone:
        execute(_FORGET, {"ids": gone})


def _columns_of(standings: Mapping[CircuitName, CircuitRecord]) -> dict[str, list[Any]]:
    """Return the parameters of the statement `upsert_circuits`, a list for each column."""
    return {
        "tenant_ids": [name.tenant_id for name in standings],
        "kinds": [name.kind for name in standings],
        "dependencies": [name.dependency for name in standings],
        "hold_all": [
            registry.is_needed_by_all(name.kind, name.dependency, is_shared=name.is_shared) for name in standings
        ],
        "states": [standing.state for standing in standings.values()],
        "failures": [standing.failures for standing in standings.values()],
        "fingerprints": [standing.fingerprint for standing in standings.values()],
        "error_types": [standing.error_type for standing in standings.values()],
        "error_messages": [standing.error_message for standing in standings.values()],
        "error_job_ids": [standing.error_job_id for standing in standings.values()],
        "counted_from": [standing.counted_from for standing in standings.values()],
        "opened_at": [standing.opened_at for standing in standings.values()],
        "until": [standing.until for standing in standings.values()],
        "probe_job_ids": [standing.probe_job_id for standing in standings.values()],
        "tenants": [json.dumps(dict(standing.tenants)) for standing in standings.values()],
    }


def _tell_opened(name: CircuitName, standing: CircuitRecord, *, again: bool) -> None:
    record_audit(
        action="circuit.opened",
        target=circuit_target(name.kind, name.tenant_id),
        after={
            "failures": standing.failures,
            "fingerprint": standing.fingerprint,
            "until": standing.until,
            **({"dependency": name.dependency, "is_shared": name.is_shared} if name.dependency else {}),
        },
        # Entries of the audit log are not sealed.
        reason=": ".join((standing.error_type, *_plain_messages(standing)))[:200],
    )
    facts = {
        "tenant_id": name.tenant_id,
        "kind": name.kind,
        "dependency": name.dependency,
        "is_again": again,
    }
    transaction.on_commit(lambda: signals.circuit_opened.send(None, **facts))


def _plain_messages(standing: CircuitRecord) -> tuple[str, ...]:
    return () if is_sealed_text(standing.error_message) else (standing.error_message,)


def _has_circuit(name: CircuitName) -> bool:
    try:
        kind = registry.get(name.kind)
    except (KindUnknownError, registry.ProcessorInvalidError):
        return False  # its plug-in is missing or broken, so no further jobs of it are submitted
    return bool(name.dependency) or kind.has_circuit


def _run(statement: str) -> int:
    values: dict[str, Any] = {
        "limit": STAGE_ROWS,
        "probes": PROBES,
        "idle_seconds": IDLE_SECONDS,
        "cool_down_seconds": circuit_policy().cool_down_seconds,
    }
    return int(fetch_one(statement, values, scalar_row))


def _parsed(value: Any) -> Mapping[str, int]:
    """Return the parsed value of a JSON column, which raw cursors of Django return as text."""
    parsed: Mapping[str, int] = json.loads(value) if isinstance(value, str) else value
    return parsed
