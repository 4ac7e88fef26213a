"""Cancellation of running jobs when their tenant is erased or suspended permanently."""

from __future__ import annotations

from uuid import UUID

from scheduling.jobs.cancellation import cancel_here
from scheduling.models import LiveExecution
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.signals import running_work_unwanted


def cancel_running(*, tenant_id: UUID, reason: str) -> int:
    """Cancel the dispatched and running jobs of a tenant; return how many."""
    with all_tenants():
        job_ids = list(
            LiveExecution.objects.filter(tenant_id=tenant_id).order_by("job_id").values_list("job_id", flat=True)
        )
        cancelled = cancel_here(job_ids, reason=reason)
        if cancelled:
            record_audit(
                action="job.cancelled",
                target=AuditTarget("scheduling.job", tenant_id=tenant_id),
                after={"jobs": len(cancelled)},
                reason=reason,
            )
    return len(cancelled)


def connect_suspension_signals() -> None:
    """Connect a receiver that cancels a tenant's running jobs when the signal `running_work_unwanted` is sent."""

    def on_unwanted(*, tenant_id: UUID, reason: str, **_: object) -> None:
        cancel_running(tenant_id=tenant_id, reason=reason)

    running_work_unwanted.connect(on_unwanted, weak=False, dispatch_uid="scheduling.tenant_work.listen_to_suspensions")
