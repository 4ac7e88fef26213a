"""Move circuit breakers by what ended, and their jobs with them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from scheduling import signals
from scheduling.circuit import CircuitName, CircuitPolicy, CircuitStanding, CircuitState, Ending, follow
from scheduling.conf import STAGE_ROWS, circuit_policy
from scheduling.exceptions import KindUnknownError
from scheduling.processors import registry
from scheduling.services.circuits import circuit_target
from scheduling.services.dispatching import circuits_sql
from scheduling.services.dispatching.circuits_sql import written_out
from scheduling.services.leadership import lead
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.locks import LockClass
from tenants.prepared import prepared_cursor
from tenants.services.audit import record_audit

# Most breakers that one turn lets try again, or forgets.
PROBES = 500
# Well beyond the longest delay of a retry by default: what failed comes back to a breaker that is still there.
IDLE_SECONDS = 3600.0
# Those of a standing that are columns as they are.
_COLUMNS = (
    "state",
    "failures",
    "fingerprint",
    "error_type",
    "error_message",
    "counted_from",
    "opened_at",
    "until",
    "probe_job_id",
)


@dataclass(frozen=True, slots=True)
class _Row:
    """A breaker as it was read, and where."""

    id: int
    standing: CircuitStanding


def follow_circuits(free: list[UUID] | None = None) -> int:
    """Count what ended, open and close breakers, and give their jobs back; how many. One process at a time.

    A careful tick counts what ended of the tenants in ``free`` alone.
    """
    if not lead(LockClass.CIRCUITS):
        return 0
    _fold_news(circuit_policy(), free)
    _run(circuits_sql.CLOSE_UNNEEDED)
    return _run(circuits_sql.TRY) + _run(circuits_sql.RETURN)


def tend_circuits() -> int:
    """Forget breakers that nobody waits behind, give back jobs whose breaker is gone; how many came back.

    Any number of dispatchers may call this, and one does it.
    """
    with all_tenants():
        if not lead(LockClass.CIRCUITS_TENDED):
            return 0
        _run(circuits_sql.FORGET_IDLE)
        returned = _run(circuits_sql.RETURN_ORPHANS)
        if returned:
            wake_on_commit()
        return returned


def _fold_news(policy: CircuitPolicy, free: list[UUID] | None) -> None:
    endings, now = _take_news(free)
    if now is None:
        return
    before = _read_standings([name for name in endings if _has_circuit(name)])
    after = {
        name: follow(name, before[name].standing if name in before else None, news, policy, now)
        for name, news in endings.items()
        if _has_circuit(name)
    }
    _write(before, after)
    for name, standing in after.items():
        was = before[name].standing if name in before else None
        if standing is not None and standing.state is CircuitState.OPEN and standing != was:
            _tell_opened(name, standing, again=was is not None and was.state is CircuitState.HALF_OPEN)


def _take_news(free: list[UUID] | None) -> tuple[Mapping[CircuitName, list[Ending]], datetime | None]:
    """The oldest news by breaker, and the database's time. What is shared moves the tenant's own and that of all."""
    endings: dict[CircuitName, list[Ending]] = defaultdict(list)
    now = None
    with prepared_cursor() as cursor:
        cursor.execute(circuits_sql.TAKE_NEWS, {"limit": STAGE_ROWS, "free": free})
        for tenant_id, kind, dependency, is_shared, *facts, now in cursor.fetchall():  # noqa: B007 - the same in each row
            ending = Ending(tenant_id, *facts)
            for owner in (tenant_id, None) if is_shared else (tenant_id,):
                endings[CircuitName(owner, kind, dependency)].append(ending)
    return endings, now


def _read_standings(names: list[CircuitName]) -> dict[CircuitName, _Row]:
    if not names:
        return {}
    with prepared_cursor() as cursor:
        cursor.execute(circuits_sql.STANDINGS, _name_columns(names))
        return {
            CircuitName(tenant_id, kind, dependency): _Row(
                id_, replace(CircuitStanding(CircuitState(state), *rest), tenants=_parsed(tenants))
            )
            for id_, tenant_id, kind, dependency, state, *rest, tenants in cursor.fetchall()
        }


def _write(before: Mapping[CircuitName, _Row], after: Mapping[CircuitName, CircuitStanding | None]) -> None:
    put = [
        (
            name.tenant_id,
            name.kind,
            name.dependency,
            registry.is_needed_by_all(name.kind, name.dependency, is_shared=name.is_shared),
            *(getattr(standing, column) for column in _COLUMNS),
            json.dumps(dict(standing.tenants)),
        )
        for name, standing in after.items()
        if standing is not None and (name not in before or standing != before[name].standing)
    ]
    gone = [before[name].id for name, standing in after.items() if standing is None and name in before]
    with prepared_cursor() as cursor:
        if put:
            cursor.execute(circuits_sql.PUT, [list(column) for column in zip(*put, strict=True)])
        if gone:
            cursor.execute(circuits_sql.FORGET, [gone])


def _tell_opened(name: CircuitName, standing: CircuitStanding, *, again: bool) -> None:
    record_audit(
        action="circuit.opened",
        target=circuit_target(name.kind, name.tenant_id),
        after={
            "failures": standing.failures,
            "fingerprint": standing.fingerprint,
            "until": standing.until,
            **({"dependency": name.dependency, "is_shared": name.is_shared} if name.dependency else {}),
        },
        reason=f"{standing.error_type}: {standing.error_message}"[:200],
    )
    facts = {
        "tenant_id": name.tenant_id,
        "kind": name.kind,
        "dependency": name.dependency,
        "is_again": again,
    }
    transaction.on_commit(lambda: signals.circuit_opened.send(None, **facts))


def _has_circuit(name: CircuitName) -> bool:
    try:
        kind = registry.get(name.kind)
    except (KindUnknownError, registry.ProcessorInvalidError):
        return False  # its plug-in is gone or broken, and nothing more of it is submitted
    return bool(name.dependency) or kind.has_circuit


def _run(statement: str) -> int:
    values: dict[str, Any] = {
        "limit": STAGE_ROWS,
        "probes": PROBES,
        "idle_seconds": IDLE_SECONDS,
        "cool_down_seconds": circuit_policy().cool_down_seconds,
    }
    with prepared_cursor() as cursor:
        cursor.execute(written_out(statement), values)
        return int(cursor.fetchone()[0])


def _name_columns(names: list[CircuitName]) -> list[list[Any]]:
    tenants: list[UUID | None] = [name.tenant_id for name in names]
    return [tenants, [name.kind for name in names], [name.dependency for name in names]]


def _parsed(value: Any) -> Mapping[str, int]:
    """A JSON column as a cursor of Django's gives it."""
    parsed: Mapping[str, int] = json.loads(value) if isinstance(value, str) else value
    return parsed
