"""Continuation of an ended run by the job that repeats its job, such as a requeued dead letter."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from scheduling.kit.base import AsyncJobContext
from workloads.workflows.definition.graph import Graph
from workloads.workflows.engine.resumption import keep_finished, value_numbers
from workloads.workflows.engine.state import WorkflowRunProgress
from workloads.workflows.models import RunValue
from workloads.workflows.running import repository


def resume_ended_run(context: AsyncJobContext) -> tuple[WorkflowRunProgress, Sequence[RunValue]] | None:
    """Return the state that a new run continues with, and its rows of large values; None if it begins at its start.

    It continues if its job repeats another with the same payload that has failed or was cancelled, unless the values of
    that run are removed.
    """
    ended = repository.read_ended_run(context.tenant_id, context.job_id)
    if ended is None:
        return None
    job_id, content = ended
    state = WorkflowRunProgress.read(content)
    pinned = repository.read_version(context.tenant_id, UUID(context.payload["workflow_id"]), state.workflow_version)
    kept = keep_finished(state, Graph.read(pinned.definition))
    if kept is None:
        return None
    values = repository.copy_values(context.tenant_id, job_id, context.job_id, value_numbers(kept))
    if values is None:
        return None
    context.log(f"Continues the run {job_id}: its finished nodes are not run again.", nodes=len(kept.steps))
    return kept, values
