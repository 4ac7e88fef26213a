"""Queries of the workflows, versions and approvals that the current scope can see."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models import Case, CharField, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Now

from tenants.context import require_scope
from tenants.database.ids import id_of
from tenants.database.reads import first_or_raise
from tenants.versions.queries import versions_of
from workloads.workflows.exceptions import ApprovalNotFoundError, WorkflowNotFoundError
from workloads.workflows.models import Approval, ApprovalState, Workflow, WorkflowVersion

NEWEST_APPROVALS = 1_000
TERMINAL_STATES = ("completed", "cancelled", "discarded", "quarantined")


def get_workflow(workflow_id: UUID) -> Workflow:
    """Return one workflow of the current scope; raise `WorkflowNotFoundError` if there is none."""
    return first_or_raise(Workflow.objects.filter(pk=workflow_id), WorkflowNotFoundError)


def get_version(workflow_id: UUID, number: int) -> WorkflowVersion | None:
    """Return the version of a workflow with that number, also if it is scheduled, withdrawn or refused; else None."""
    versions = WorkflowVersion.objects.select_related("workflow")
    version: WorkflowVersion | None = versions.filter(workflow_id=workflow_id, number=number).first()
    return version


def list_versions(workflow: Workflow) -> QuerySet[Any]:
    """Return a queryset of the versions of a workflow, newest first, that defers their definitions and differences."""
    return versions_of(workflow).defer("content", "before", "after")


def get_pinned(workflow_id: UUID, number: int | None) -> WorkflowVersion | None:
    """Return the version that a run is to use, or None if there is none.

    Without ``number`` it is the version in effect, else the version with that number if it was ever in effect.
    """
    versions = WorkflowVersion.objects.select_related("workflow").filter(
        workflow_id=workflow_id, outcome=WorkflowVersion.Outcome.APPLIED
    )
    version: WorkflowVersion | None = versions.filter(
        number=F("workflow__version") if number is None else number
    ).first()
    return version


def find_called(name: str) -> WorkflowVersion | None:
    """Return the version in effect of the workflow with this id or name in the current scope; None if there is none."""
    workflow_id = id_of(name)
    named = Q(pk=workflow_id) if workflow_id else Q(name=name)
    workflow = Workflow.objects.filter(named).first()
    return None if workflow is None else get_pinned(workflow.pk, None)


def find_approvals() -> QuerySet[Approval]:
    """Return a queryset of the current scope's approvals, annotated with ``shown_state``.

    Unlike the stored state it is not pending if the approval has expired or its job has ended without running its code.
    Both are checked at each read, so it is never out of date.
    """
    jobs = _jobs().filter(pk=OuterRef("job_id"))
    approvals: QuerySet[Approval] = Approval.objects.select_related("workflow").annotate(
        job_state=Subquery(jobs.values("state")[:1])
    )
    is_pending = Q(state=ApprovalState.PENDING)
    return approvals.annotate(
        shown_state=Case(
            When(is_pending & Q(job_state__in=TERMINAL_STATES), then=Value(ApprovalState.WITHDRAWN.value)),
            When(is_pending & Q(expires_at__lte=Now()), then=Value(ApprovalState.TIMED_OUT.value)),
            default=F("state"),
            output_field=CharField(),
        )
    )


def count_pending_approvals(most: int) -> int:
    """Return the number of pending approvals in the current scope, at most ``most``; of all tenants, among the newest.

    An index finds those of one tenant; over all tenants none does.
    """
    pending = find_approvals().filter(Q(shown_state=ApprovalState.PENDING), state=ApprovalState.PENDING)
    if require_scope().is_all_tenants:
        pending = pending.filter(pk__in=Approval.objects.order_by("-pk").values("pk")[:NEWEST_APPROVALS])
    return pending.order_by()[:most].count()


def get_approval(approval_id: UUID) -> Approval:
    """Return one approval of the current scope, annotated with ``shown_state``.

    Raise `ApprovalNotFoundError` if there is none.
    """
    return first_or_raise(find_approvals().filter(pk=approval_id), ApprovalNotFoundError)


def has_ended(job_id: UUID) -> bool:
    """Return whether the job of a run has ended or does not exist any more."""
    return not _jobs().filter(pk=job_id).exclude(state__in=TERMINAL_STATES).exists()


def has_open_runs(workflow_id: UUID) -> bool:
    """Return whether a run of the workflow has not ended."""
    waiting = _open_records(workflow_id).values("job_id")
    return bool(_jobs().filter(pk__in=waiting).exclude(state__in=TERMINAL_STATES).exists())


def count_open_runs(workflow_id: UUID) -> dict[int, int]:
    """Return how many runs of a workflow have not ended, by the number of the version that they are pinned to."""
    open_jobs = _jobs().filter(pk=OuterRef("job_id")).exclude(state__in=TERMINAL_STATES)
    records = _open_records(workflow_id).filter(Exists(open_jobs)).order_by("workflow_version")
    return dict(records.values_list("workflow_version").annotate(runs=Count("pk")))


def _open_records(workflow_id: UUID) -> QuerySet[Any]:
    records: QuerySet[Any] = apps.get_model("workflow_storage", "WorkflowRun").objects.all()
    return records.filter(workflow_id=workflow_id, state__in=("running", "waiting"))


def _jobs() -> QuerySet[Any]:
    # By name: a plug-in imports no models of the scheduler.
    jobs: QuerySet[Any] = apps.get_model("scheduling", "Job").objects.all()
    return jobs
