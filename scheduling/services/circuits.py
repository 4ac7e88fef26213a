"""Closing a circuit breaker by hand, when what its jobs need is known to be back."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from scheduling.circuit import CircuitState
from scheduling.exceptions import CircuitNotFoundError
from scheduling.models import Circuit
from scheduling.services.wakes import wake_on_commit
from tenants.services.audit import AuditTarget, record_audit


@transaction.atomic
def reset_circuit(*, kind: str, tenant_id: UUID, reason: str = "") -> Circuit:
    """Close the breaker of a tenant's jobs of the kind, and forget what it counted; its jobs come back at once."""
    circuit = Circuit.objects.select_for_update().filter(tenant_id=tenant_id, kind=kind).first()
    if circuit is None:
        raise CircuitNotFoundError
    before = circuit.state
    circuit.state, circuit.until, circuit.probe_job_id = CircuitState.CLOSING, None, None
    circuit.save(update_fields=["state", "until", "probe_job_id"])
    record_audit(
        action="circuit.reset",
        target=AuditTarget("scheduling.circuit", kind, tenant_id=circuit.tenant_id),
        before={"state": before, "failures": circuit.failures},
        after={"state": circuit.state},
        reason=reason,
    )
    wake_on_commit()
    return circuit
