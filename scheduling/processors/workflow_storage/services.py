"""Values of runs in the clear: looking at them is an act, and audited."""

from __future__ import annotations

from uuid import UUID

from scheduling.processors.workflow_storage.models import WorkflowRun
from scheduling.processors.workflow_storage.selectors import get_run
from tenants.exceptions import ReasonRequiredError
from tenants.services.audit import record_audit


def reveal_run(*, run_id: UUID, reason: str) -> WorkflowRun:
    """A run whose values somebody reads who says why, its nodes' included; `ReasonRequiredError` else."""
    if not reason.strip():
        raise ReasonRequiredError("Say why you look at the values.")
    run = get_run(run_id)
    record_audit(action="workflow_run.revealed", target=run, reason=reason.strip())
    return run
