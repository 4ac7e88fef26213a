"""Common operations of these tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.models import Execution, Job, JobEvent
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.processes import PATIENCE_SECONDS, eventually


def submit(tenant: Tenant, kind: str, *payloads: dict[str, Any], **options: Any) -> list[Job]:
    """Submit a job for each payload (one without any), all of which must be accepted."""
    requests = [JobRequest(kind=kind, payload=payload, **options) for payload in payloads or ({},)]
    bulk = submit_jobs(tenant=tenant, requests=requests)
    assert not bulk.rejected, bulk.rejected
    return [submission.job for _, submission in bulk.accepted]


def fetch(job: Job) -> Job:
    """Return the job as stored."""
    with all_tenants():
        return Job.objects.get(pk=job.pk)


def wait_for(job: Job, state: str, *, within: float = PATIENCE_SECONDS) -> Job:
    """Return the job once it is in ``state``."""
    eventually(lambda: fetch(job).state == state, within=within, what=f"{job} is {state}, not {fetch(job).state}")
    return fetch(job)


def wait_for_all(jobs: Iterable[Job], state: str = "completed", *, within: float = PATIENCE_SECONDS) -> None:
    """Return once every job is in ``state``."""
    ids = [job.pk for job in jobs]
    eventually(lambda: not _others(ids, state), within=within, what=f"all are {state}")


def executions_of(job: Job) -> list[Execution]:
    """Return the ended executions of a job, oldest first."""
    with all_tenants():
        return list(Execution.objects.filter(job_id=job.pk).order_by("id"))


def event_names(job: Job) -> list[str]:
    """Return the names of a job's events, oldest first."""
    with all_tenants():
        return list(JobEvent.objects.filter(job_id=job.pk).order_by("at", "id").values_list("name", flat=True))


def _others(ids: Sequence[UUID], state: str) -> list[tuple[str, str]]:
    with all_tenants():
        return list(Job.objects.filter(pk__in=ids).exclude(state=state).values_list("kind", "state")[:5])
