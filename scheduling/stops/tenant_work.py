"""Cancellation of the running jobs of a tenant that is suspended for good or erased."""

from __future__ import annotations

from uuid import UUID

from scheduling.jobs.cancellation import cancel_here
from scheduling.models import LiveExecution
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.signals import running_work_unwanted


def cancel_running(*, tenant_id: UUID, reason: str) -> int:
    """Cancel the jobs of a tenant that are in flight, at most its cap; return their number."""
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
    """Connect the cancellation of a tenant's running jobs to its suspension for good."""

    def on_unwanted(*, tenant_id: UUID, reason: str, **_: object) -> None:
        cancel_running(tenant_id=tenant_id, reason=reason)

    running_work_unwanted.connect(on_unwanted, weak=False, dispatch_uid="scheduling.tenant_work.listen_to_suspensions")
