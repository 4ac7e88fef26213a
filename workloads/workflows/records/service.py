"""Services of workflow runs: audited reads of their values, and submission of records from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.apps import apps

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.exceptions import ReasonRequiredError
from tenants.models import Tenant
from workloads.workflows.records.exceptions import RunTakenError
from workloads.workflows.records.models import WorkflowRun
from workloads.workflows.records.processor import WorkflowStorage
from workloads.workflows.records.queries import get_run
from workloads.workflows.records.record_format import to_payload


def reveal_run(*, run_id: UUID, reason: str) -> WorkflowRun:
    """Write an audit entry that the values of a run and its nodes are read, with the reason. Return the run.

    Raise `ReasonRequiredError` if the reason is blank.
    """
    if not reason.strip():
        raise ReasonRequiredError("Give the reason for viewing the values.")
    run = get_run(run_id)
    record_audit(action="workflow_run.revealed", target=run, reason=reason.strip())
    return run


def submit_record(*, tenant: Tenant, body: Mapping[str, Any], is_rate_limited: bool = False) -> UUID:
    """Submit a job that stores the record of a run executed outside the platform. Return the job's id.

    ``body`` must have been validated by the API's serializer. Raise `RunTakenError` if the run's id belongs to a job or
    to a run of the platform, and the errors of `submit_job` if the submission is refused.
    """
    with tenant_context(tenant):
        if _is_of_platform(body["run"]["id"]):
            raise RunTakenError
        request = JobRequest(kind=WorkflowStorage.kind, payload=to_payload(body), is_internal=True)
        job_id: UUID = submit_job(tenant=tenant, request=request, is_rate_limited=is_rate_limited).job.pk
        return job_id


def _is_of_platform(run_id: UUID) -> bool:
    # A run of the engine has the id of its job, also before its first record.
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk=run_id)
    return bool(jobs.exists()) or WorkflowRun.objects.filter(pk=run_id, is_external=False).exists()
