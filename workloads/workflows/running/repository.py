"""Database reads and writes of a run in progress. The writes belong into the transaction of a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models.functions import Now

from scheduling.kit.base import PermanentError
from tenants.context import tenant_context
from tenants.database.clock import read_moment
from workloads.job_outcome import DEAD_STATES
from workloads.workflows.models import Approval, ApprovalState, RunValue
from workloads.workflows.queries import get_pinned
from workloads.workflows.records.offloading import value_of
from workloads.workflows.records.queries import get_run


@dataclass(frozen=True, slots=True)
class Pinned:
    """The version of a workflow that a run is pinned to."""

    workflow_id: UUID
    workflow_name: str
    number: int
    definition: Mapping[str, Any]


def read_version(tenant_id: UUID, workflow_id: UUID, number: int | None) -> Pinned:
    """Return the version of a tenant's workflow with that number; without a number, the version in effect.

    Raise `PermanentError` if there is no such version, or if it was never in effect.
    """
    with tenant_context(tenant_id):
        version = get_pinned(workflow_id, number)
    if version is None:
        raise PermanentError("There is no such workflow, or it has no such version.", code="workflow_not_found")
    return Pinned(workflow_id, version.workflow.name, version.number, version.content)


def read_value(tenant_id: UUID, job_id: UUID, number: int) -> tuple[str, str]:
    """Return the storage key and hash of a run's value that is too large for the checkpoint.

    Raise `PermanentError` if it is missing.
    """
    with tenant_context(tenant_id):
        row = RunValue.objects.filter(job_id=job_id, number=number).values_list("storage_key", "sha256").first()
    if row is None:
        raise PermanentError(f"The value {number} of the run is missing.", code="value_gone")
    return row


def read_ended_run(tenant_id: UUID, job_id: UUID) -> tuple[UUID, Mapping[str, Any]] | None:
    """Return the failed or cancelled job that a job repeats, and its checkpoint; None if it repeats none."""
    # By name: a plug-in imports no models of the scheduler.
    jobs = apps.get_model("scheduling", "Job").objects
    with tenant_context(tenant_id):
        job = jobs.get(pk=job_id)
        if job.parent_id is None:
            return None
        ended = jobs.filter(pk=job.parent_id, kind=job.kind, state__in=DEAD_STATES).first()
        is_continued = ended is not None and bool(ended.checkpoint) and ended.payload == job.payload
        return (ended.pk, ended.checkpoint) if ended is not None and is_continued else None


def read_fairness(tenant_id: UUID, job_id: UUID) -> dict[str, Any]:
    """Return the fair key and the priority of a job, which its children have too."""
    jobs = apps.get_model("scheduling", "Job").objects
    with tenant_context(tenant_id):
        return dict(jobs.values("fair_key", "priority").get(pk=job_id))


def read_outputs(tenant_id: UUID, run_id: UUID) -> Any:
    """Return the outputs of an ended run, which are too large for the result of its job."""
    with tenant_context(tenant_id):
        value = value_of(get_run(run_id), "outputs")
    return None if value is None else value.read()


def copy_values(tenant_id: UUID, ended: UUID, job_id: UUID, numbers: Sequence[int]) -> list[RunValue] | None:
    """Return rows for a run with the large values of an ended one; None if one of them is removed."""
    with tenant_context(tenant_id):
        found = list(RunValue.objects.filter(job_id=ended, number__in=numbers))
    if len(found) < len(numbers):
        return None
    names = ("tenant_id", "number", "storage_key", "sha256")
    return [RunValue(job_id=job_id, **{name: getattr(row, name) for name in names}) for row in found]


def read_decisions(tenant_id: UUID, job_id: UUID) -> dict[str, Approval]:
    """Return the approvals of a run that are not pending, by node. Expired ones are marked as timed out first.

    If a person is deciding one at the same time, the function waits; the decision is then either returned or refused.
    """
    with tenant_context(tenant_id):
        asked = Approval.objects.filter(job_id=job_id)
        asked.filter(state=ApprovalState.PENDING, expires_at__lte=Now()).update(
            state=ApprovalState.TIMED_OUT, decided_at=Now()
        )
        return {approval.node: approval for approval in asked.exclude(state=ApprovalState.PENDING)}


def end_run(job_id: UUID, *, keeps_values: bool = False) -> None:
    """Withdraw the pending approvals of a run and delete its `RunValue` rows. A clean-up later deletes their files.

    ``keeps_values`` leaves the rows to the upkeep, for a run that may be continued.
    """
    Approval.objects.filter(job_id=job_id, state=ApprovalState.PENDING).update(
        state=ApprovalState.WITHDRAWN, decided_at=Now()
    )
    if not keeps_values:
        RunValue.objects.filter(job_id=job_id).delete()


def store(values: Sequence[RunValue], approvals: Sequence[Approval]) -> None:
    """Insert the rows that a safe point stores besides the checkpoint."""
    RunValue.objects.bulk_create(values)
    Approval.objects.bulk_create(approvals)


def database_clock() -> Callable[[], float]:
    """Return a function that returns the database's time in seconds since 1970, whatever this machine's clock shows."""
    asked_at = time.monotonic()
    offset = read_moment().timestamp() - asked_at
    return lambda: time.monotonic() + offset
