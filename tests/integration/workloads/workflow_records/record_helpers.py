"""Helpers of the tests of this folder: jobs of the kind workflow_storage, and rows to compare."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.execution import policy, processing
from scheduling.execution.checkpoints import save_checkpoint
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import StartedExecution
from scheduling.kit.base import Effects, JobContext, Json
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.exceptions import DomainError
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, begin
from tests.workflow_histories import body_of
from workloads.workflows.records.models import NodeRun, WorkflowRun
from workloads.workflows.records.processor import WorkflowStorage
from workloads.workflows.records.records import NodeRecord, RunRecord
from workloads.workflows.records.service import submit_record


def send(tenant: Tenant, run: RunRecord, *nodes: NodeRecord) -> UUID:
    """Submit a record from outside; return the id of its job."""
    return submit_record(tenant=tenant, body=body_of(run, *nodes))


def perform(tick: Tick, start: Start, job_id: UUID) -> Job:
    """Run a job as a worker does, to its settlement."""
    tick()
    with connection.cursor() as cursor:
        # A tick lets its transaction be idle for two seconds; a test's transaction outlives it.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    with all_tenants():
        started = begin(start, Job.objects.get(pk=job_id))
    settle([settlement_of(started)])
    with all_tenants():
        return Job.objects.get(pk=job_id)


def settlement_of(started: StartedExecution) -> Settlement:
    """Return the settlement of what the kind answers or raises."""
    retries = policy.retry_policy(started, WorkflowStorage)
    try:
        outcome = WorkflowStorage().process(context_of(started))
    except DomainError as error:
        return policy.failure_of(error, started, retries)
    return policy.settlement_of(outcome, started, retries)


def context_of(started: StartedExecution) -> JobContext:
    """Return the context of an execution, with a runtime that stores checkpoints only."""
    return processing.context_of(started, CheckpointsAlone(started), {})


class CheckpointsAlone:
    """The part of a worker's runtime that the kind uses, on the real service."""

    def __init__(self, started: StartedExecution) -> None:
        self.started = started

    def checkpoint(self, state: Json, effects: Effects | None) -> None:
        save_checkpoint(
            tenant_id=self.started.tenant_id,
            job_id=self.started.job_id,
            fence=self.started.fence,
            state=state,
            effects=effects,
        )


def stored_rows(run_id: UUID) -> list[dict[str, Any]]:
    """Return the rows of a run and of its nodes without ids of rows and jobs, in an order of their content."""
    rows = [*WorkflowRun.objects.filter(pk=run_id).values(), *NodeRun.objects.filter(run_id=run_id).values()]
    compared = [{name: value for name, value in row.items() if name not in ("id", "run_id", "job_id")} for row in rows]
    return sorted(compared, key=lambda row: json.dumps(row, sort_keys=True, default=str))
