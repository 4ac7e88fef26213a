"""Jobs submitted one at a time, and the start of each."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from benchmarks.harness.processes import Processes
from jobsplatform.demo.provision import ACTOR
from scheduling.models import Job
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_jobs
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.models import Tenant

SEED = 20_261_125
JOB_SECONDS_AT_MOST = 30.0
NOOP = JobRequest(kind="noop")


def time_starts(
    processes: Processes,
    tenant: Tenant,
    jobs: int,
    pause: tuple[float, float],
    *,
    between: Callable[[int], object] = lambda number: None,
) -> Sequence[float]:
    """Submit no-op jobs one at a time and return milliseconds from each commit to its start.

    Call ``between`` with each job's number before its submission.
    """
    chance = random.Random(SEED)  # noqa: S311 - pauses, not secrets
    waits = []
    for number in range(jobs):
        between(number)
        job_id = submit_one(tenant)
        committed_at = time.time()
        # Long enough not to disturb the start by polling; random, so that it matches no interval of the platform.
        time.sleep(chance.uniform(*pause))
        waits.append(max(0.0, wait_started(processes, job_id) - committed_at) * 1e3)
    return waits


def submit_one(tenant: Tenant, request: JobRequest = NOOP) -> UUID:
    """Submit a job by the service that the API calls, and return its id."""
    with acting_as(ACTOR), tenant_context(tenant):
        bulk = submit_jobs(tenant=tenant, requests=[request], is_whole=True)
    return bulk.accepted[0][1].job.pk


def wait_started(processes: Processes, job_id: UUID) -> float:
    """Wait for the job's first start and return its time by the database's clock."""
    processes.wait_until(lambda: started_at(job_id) is not None, within=JOB_SECONDS_AT_MOST, what="the job starts")
    return started_at(job_id) or 0.0


def started_at(job_id: UUID) -> float | None:
    """Return the time of the job's first start, None before it."""
    with all_tenants():
        started = Job.objects.values_list("started_at", flat=True).get(pk=job_id)
    return started.timestamp() if started else None
