"""Services that force circuit breakers open or closed, and reset them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from scheduling.breakers.rules import CircuitState
from scheduling.dispatch.broker import wake_on_commit
from scheduling.exceptions import CircuitNotFoundError, DependencyNameError
from scheduling.kit import registry
from scheduling.kit.base import Dependency
from scheduling.models import Circuit
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants, tenant_context
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.tenancy.pausing import actor_words, check_until, expect_reason

# The most characters that fit beside a breaker in lists.
REASON_LIMIT = 200
BECAUSE = "its end time was reached"
_LET_GO = load_sql(__file__)["release_due"]


@transaction.atomic
def reset_circuit(*, kind: str, tenant_id: UUID | None, dependency: str = "", reason: str = "") -> Circuit:
    """Close a breaker, end its forced state and set its failures to 0; a tick then makes its waiting jobs ready.

    ``tenant_id`` None means the shared breaker. Raise CircuitNotFoundError if there is no such breaker.
    """
    with _scope_of(tenant_id):
        circuit = _find(kind, tenant_id, dependency)
        if circuit is None:
            raise CircuitNotFoundError
        before = {"state": circuit.state, "failures": circuit.failures}
        circuit.state, circuit.until, circuit.probe_job_id = CircuitState.CLOSING, None, None
        circuit.forced_by = circuit.forced_reason = ""
        circuit.save(update_fields=["state", "until", "probe_job_id", "forced_by", "forced_reason"])
        _record("circuit.reset", circuit, before, {"state": circuit.state}, reason)
    wake_on_commit()
    return circuit


@transaction.atomic
def force_circuit(
    *,
    kind: str,
    tenant_id: UUID | None,
    is_open: bool,
    dependency: str = "",
    until: datetime | None = None,
    reason: str = "",
) -> Circuit:
    """Force a breaker open (its jobs wait) or closed (they run even if jobs fail) until ``until`` or a reset.

    ``tenant_id`` None means the shared breaker. A repeated call replaces state, reason and end.
    """
    registry.get(kind)
    _check_name(dependency, is_shared=tenant_id is None)
    kept = expect_reason(reason, max_length=REASON_LIMIT)
    state = CircuitState.FORCED_OPEN if is_open else CircuitState.FORCED_CLOSED
    with _scope_of(tenant_id):
        now = check_until(until)
        values: dict[str, Any] = {
            "holds_all": registry.is_needed_by_all(kind, dependency, is_shared=tenant_id is None),
            "state": state,
            "until": until,
            "probe_job_id": None,
            "forced_by": actor_words(),
            "forced_reason": kept,
        }
        before = None
        circuit = _find(kind, tenant_id, dependency)
        if circuit is None:
            counts = {"failures": 0, "counted_from": now, "opened_at": now if is_open else None}
            circuit = Circuit.objects.create(tenant_id=tenant_id, kind=kind, dependency=dependency, **values, **counts)
        else:
            before = {"state": circuit.state, "until": circuit.until}
            for name, value in values.items():
                setattr(circuit, name, value)
            circuit.save(update_fields=list(values))
        _record(f"circuit.{state.value}", circuit, before, {"state": state, "until": until}, reason)
    wake_on_commit()
    return circuit


def circuit_target(kind: str, tenant_id: UUID | None) -> AuditTarget:
    """Return the target of a breaker's audit entries: in its tenant's log, or in the platform's without a tenant."""
    return AuditTarget("scheduling.sharedcircuit" if tenant_id is None else "scheduling.circuit", kind, tenant_id)


def expire_forced_circuits() -> int:
    """End forced states whose end time has passed; return how many.

    The caller must hold the lock that makes it the only process, and see all tenants.
    """
    ended = fetch_all(_LET_GO, is_planned=True)
    for row in ended:  # rarely more than one
        circuit = Circuit(tenant_id=row.tenant_id, kind=row.kind, dependency=row.dependency)
        _record("circuit.reset", circuit, None, {"state": CircuitState.CLOSING}, BECAUSE)
    return len(ended)


def _find(kind: str, tenant_id: UUID | None, dependency: str) -> Circuit | None:
    """Lock and return the breaker, or return None if there is none."""
    named = Circuit.objects.select_for_update(no_key=True).filter(kind=kind, dependency=dependency)
    return (named.filter(tenant=None) if tenant_id is None else named.filter(tenant_id=tenant_id)).first()


def _check_name(dependency: str, *, is_shared: bool) -> None:
    """Raise DependencyNameError for a name that processors cannot use, and for a shared breaker without a name."""
    if dependency:
        try:
            Dependency(dependency)
        except ValueError as error:
            raise DependencyNameError(str(error)) from error
    elif is_shared:
        raise DependencyNameError("Name the dependency. To hold back a kind of all tenants, pause the kind.")


def _record(action: str, circuit: Circuit, before: dict[str, Any] | None, after: dict[str, Any], reason: str) -> None:
    name = {"dependency": circuit.dependency, "is_shared": circuit.tenant_id is None} if circuit.dependency else {}
    record_audit(
        action=action,
        target=circuit_target(circuit.kind, circuit.tenant_id),
        before=before,
        after=after | name,
        reason=reason,
    )


@contextmanager
def _scope_of(tenant_id: UUID | None) -> Iterator[None]:
    """Enter the tenant's context, or all_tenants() for a shared breaker."""
    with all_tenants() if tenant_id is None else tenant_context(tenant_id):
        yield
