"""Services that start and replay runs and decide approvals, each in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import Submission, submit_job
from scheduling.jobs.suspension import wake_jobs
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import current_actor, tenant_context
from tenants.models import Tenant
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.state import FIRST_RECORD
from workloads.workflows.exceptions import ApprovalEndedError, RunInputsInvalidError, WorkflowVersionNotFoundError
from workloads.workflows.inputs import read_inputs
from workloads.workflows.models import Approval, ApprovalState, Workflow, WorkflowVersion
from workloads.workflows.queries import get_approval, get_pinned, has_ended
from workloads.workflows.records.records import RecordState, RunRecord
from workloads.workflows.records.repository import save_records
from workloads.workflows.running.replays import Outputs, Replay, read_replay, read_value

KIND = "workflow_execution"


def start_run(
    *,
    tenant: Tenant,
    workflow: Workflow,
    inputs: Mapping[str, Any],
    version: int | None = None,
    is_rate_limited: bool = False,
    **options: Any,
) -> Submission:
    """Submit a run of a workflow, pinned to a version (None: the one in effect). ``options`` are those of any job.

    Raise `WorkflowVersionNotFoundError`, `RunInputsInvalidError`, or the errors of `submit_job` if it is refused.
    """
    with tenant_context(tenant):
        pinned = _pin(workflow, version)
        graph = Graph.read(pinned.content)
        checked, faults = read_inputs(graph, inputs)
        if faults:
            raise RunInputsInvalidError(errors=faults)
        payload = {"workflow_id": str(workflow.pk), "version": pinned.number, "inputs": dict(inputs)}
        request = JobRequest(kind=KIND, payload=payload, **options)
        submission = submit_job(tenant=tenant, request=request, is_rate_limited=is_rate_limited)
        if submission.created:
            save_records(_first_record(pinned, graph, checked, submission.job.pk))
        return submission


def replay_run(
    *,
    tenant: Tenant,
    run_id: UUID,
    node: str,
    inputs: Mapping[str, Any] | None = None,
    outputs: Outputs | None = None,
    version: int | None = None,
    is_rate_limited: bool = False,
    **options: Any,
) -> tuple[Submission, Replay]:
    """Submit a run that repeats an ended one from a node; return it with what it keeps.

    ``inputs`` and ``outputs`` replace single inputs of the run and outputs of kept nodes. Raise the errors of
    `read_replay`, `RunInputsInvalidError`, or those of `submit_job`.
    """
    edits = {"inputs": dict(inputs or {}), "outputs": dict(outputs or {})}
    with tenant_context(tenant):
        replay = read_replay(run_id, node, edits["outputs"], version)
        stored = read_value(replay.run, "inputs").items()
        # An optional input without a value is stored as null.
        before = {name: value for name, value in stored if value is not None and name in replay.graph.inputs}
        given = before | edits["inputs"]
        checked, faults = read_inputs(replay.graph, given)
        if faults:
            raise RunInputsInvalidError(errors=faults)
        payload = {
            "workflow_id": str(replay.run.workflow_id),
            "version": replay.pinned.number,
            "inputs": given,
            "replay": {"run": str(run_id), "node": node, "outputs": edits["outputs"]},
        }
        with suppress_nested_entries():
            request = JobRequest(kind=KIND, payload=payload, **options)
            submission = submit_job(tenant=tenant, request=request, is_rate_limited=is_rate_limited)
        if submission.created:
            save_records(_first_record(replay.pinned, replay.graph, checked, submission.job.pk, replay_of=run_id))
            facts = {"job": str(submission.job.pk), "node": node, "version": replay.pinned.number}
            edited = {f"edited_{name}": sorted(values) for name, values in edits.items()}
            record_audit(action="workflow_run.replayed", target=replay.run, after=facts | edited)
    return submission, replay


def decide_approval(*, approval_id: UUID, is_approved: bool, comment: str = "") -> Approval:
    """Approve or reject an approval of the current scope, and wake its run. Return the approval.

    Raise `ApprovalEndedError` if it is already decided or expired, or if its run has ended.
    """
    state = ApprovalState.APPROVED if is_approved else ApprovalState.REJECTED
    actor = current_actor()
    with transaction.atomic():
        approval = get_approval(approval_id)
        with tenant_context(approval.tenant_id):
            # Before the row of the approval: a run that ends locks the two in this order.
            wake_jobs(job_ids=[approval.job_id])
            open_one = Approval.objects.filter(pk=approval.pk, state=ApprovalState.PENDING, expires_at__gt=Now())
            decided = open_one.update(
                state=state,
                comment=comment,
                decided_by=(actor.label or actor.id or actor.kind)[:200],
                decided_at=Now(),
            )
            if not decided or has_ended(approval.job_id):
                raise ApprovalEndedError
            record_audit(
                action="approval.decided",
                target=approval,
                before={"state": ApprovalState.PENDING.value},
                after={"state": state.value, "job": str(approval.job_id), "node": approval.node},
                reason=comment,
            )
            approval.refresh_from_db()
    return approval


def _first_record(
    pinned: WorkflowVersion, graph: Graph, inputs: Mapping[str, Any], job_id: UUID, replay_of: UUID | None = None
) -> RunRecord:
    """Return the record of a run that waits for its first start, so that its pages exist at once."""
    return RunRecord(
        run_id=job_id,
        tenant_id=pinned.tenant_id,
        workflow_id=pinned.workflow_id,
        workflow_version=pinned.number,
        workflow_name=pinned.workflow.name,
        job_id=job_id,
        version=FIRST_RECORD,
        state=RecordState.WAITING,
        inputs=inputs,
        graph=graph.describe(),
        replay_of=replay_of,
    )


def _pin(workflow: Workflow, version: int | None) -> WorkflowVersion:
    found = get_pinned(workflow.pk, version)
    if found is None:
        raise WorkflowVersionNotFoundError
    return found
