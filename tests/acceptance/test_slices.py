"""Time slices with real processes: long jobs yield and lose nothing, whichever process dies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState, is_allowed
from scheduling.models import CFSPlan, Execution, Job, JobEvent, LiveExecution, Worker
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import executions_of, fetch, submit, wait_for, wait_for_all
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.test_documents import chunks_of
from tests.checks import faults_of
from workloads.documents.indexing.uploads import upload_documents
from workloads.documents.models import Document
from workloads.documents.service import create_dataset

# Paragraphs of a document whose indexing takes much longer than a slice of a second.
LONG = 4_000
# Workers that renew leases and poll for requests often, with short leases.
QUICK = {"HEARTBEAT_SECONDS": "0.5", "LEASE_SECONDS": "4"}


@pytest.fixture
def sliced(db: None, shared_platform: Platform) -> Iterator[Platform]:
    """Start a dispatcher without a worker; slices last a second."""
    platform = shared_platform
    platform.restart_stopped()
    # Jobs of earlier tests would need slots; those already dispatched need a worker to end them.
    with all_tenants():
        cancel_jobs(job_ids=list(Job.objects.exclude(state__in=TERMINAL_STATES).values_list("id", flat=True)))
    eventually(nothing_is_in_flight, what="jobs of earlier tests have ended")
    assert platform.worker is not None
    platform.worker.kill()
    platform.worker = None
    eventually(no_worker_is_online, what="earlier workers are offline")
    set_granularity(1)
    yield platform
    set_granularity(120)
    platform.stop_extras()


def start_worker(platform: Platform, concurrency: int) -> ManagedProcess:
    worker = platform.start("run_worker", "--pool=default", f"--slots={concurrency}", **QUICK)
    eventually(lambda: " ready." in worker.log or not worker.is_running, within=150, what="the worker is ready")
    assert worker.is_running, worker.log
    return worker


def test_short_jobs_of_other_tenant_start_before_long_job_ends(sliced: Platform, acme: Tenant, globex: Tenant) -> None:
    start_worker(sliced, 1)
    (long,) = submit(acme, "sleep", {"seconds": 20})
    wait_for(long, "executing")
    shorts = submit(globex, "sleep", *[{"seconds": 0.2}] * 3)
    wait_for_all(shorts)
    done_before = fetch(long)
    assert done_before.state in {"available", "dispatched", "executing"}
    assert done_before.yield_count >= 1
    assert done_before.checkpoint["slept_seconds"] >= 1
    ended = wait_for(long, "completed", within=120)
    outcomes = [execution.outcome for execution in executions_of(ended)]
    assert outcomes == ["yielded"] * ended.yield_count + ["completed"]
    assert (ended.attempt, ended.crash_count, ended.result) == (0, 0, {"slept_seconds": 20.0})
    # It resumed from its checkpoint: its slices add up to the job, without repetition.
    seconds = sum(execution.measured_us for execution in executions_of(ended)) / 1_000_000
    assert 20 <= seconds < 20 + 2 * len(outcomes)
    assert faults_of("ledger") == []


def test_long_job_without_waiting_jobs_does_not_yield(sliced: Platform, acme: Tenant) -> None:
    start_worker(sliced, 1)
    (job,) = submit(acme, "sleep", {"seconds": 5})
    ended = wait_for(job, "completed")
    assert [execution.outcome for execution in executions_of(ended)] == ["completed"]


def test_sliced_jobs_complete_once_although_workers_are_killed(
    sliced: Platform, acme: Tenant, globex: Tenant, initech: Tenant
) -> None:
    jobs = [job for tenant in (acme, globex, initech) for job in submit(tenant, "sleep", *[{"seconds": 12}] * 2)]
    worker = start_worker(sliced, 2)
    for kills in range(1, 3):
        # Each worker yields some slices, and is killed in the middle of others.
        eventually(lambda so_far=2 * kills: count(jobs, "yielded") >= so_far, within=120, what="slices are yielded")
        eventually(lambda: any(fetch(job).state == "executing" for job in jobs), what="something runs")
        worker.kill()
        eventually(no_worker_is_online, what="the killed worker is offline")
        worker = start_worker(sliced, 2)
    wait_for_all(jobs, within=300)
    assert count(jobs, "completed") == len(jobs)
    assert count(jobs, "crashed") >= 1
    for job in jobs:
        ended = fetch(job)
        # Neither a yield nor the crash of a worker with several jobs counts as an attempt.
        assert ended.attempt == 0
        assert ended.yield_count == sum(execution.outcome == "yielded" for execution in executions_of(job))
        assert ended.result == {"slept_seconds": 12.0}
        assert is_legal(states_of(job)), states_of(job)
    assert faults_of("ledger") == []


def test_sliced_documents_have_each_chunk_once_although_workers_are_killed(
    sliced: Platform, acme: Tenant, globex: Tenant, initech: Tenant
) -> None:
    documents = [document for tenant in (acme, globex, initech) for document in upload(tenant, 2)]
    jobs = [job for _, job, _ in documents]
    worker = start_worker(sliced, 2)
    for kills in range(1, 3):
        eventually(lambda so_far=kills: count(jobs, "yielded") >= so_far, within=120, what="slices are yielded")
        eventually(lambda: any(fetch(job).state == "executing" for job in jobs), what="something runs")
        worker.kill()
        eventually(no_worker_is_online, what="the killed worker is offline")
        worker = start_worker(sliced, 2)
    wait_for_all(jobs, within=300)
    assert count(jobs, "completed") == len(jobs)
    assert count(jobs, "crashed") >= 1
    for tenant, job, document_id in documents:
        assert fetch(job).attempt == 0
        assert is_legal(states_of(job)), states_of(job)
        positions = chunks_of(tenant, document_id)
        assert positions == list(range(len(positions)))
        with tenant_context(tenant):
            document = Document.objects.get(pk=document_id)
        assert (document.status, document.chunks_done) == ("completed", len(positions))
        assert document.chunks_total == len(positions) >= LONG // 4
    assert faults_of("ledger") == []


def upload(tenant: Tenant, count: int) -> list[tuple[Tenant, Job, UUID]]:
    """Upload documents whose indexing takes longer than a slice; return each with its job."""
    dataset = create_dataset(tenant=tenant, name="handbook", chunk_size=40, chunk_overlap=0)
    files = []
    for number in range(count):
        text = "\n\n".join(f"Paragraph {n} of book {number} tells the case {n * 7_919}." for n in range(LONG))
        files.append(SimpleUploadedFile(f"book-{number}.txt", text.encode()))
    uploaded = upload_documents(tenant=tenant, dataset=dataset, files=files)
    with tenant_context(tenant):
        return [(tenant, Job.objects.get(pk=file.document.job_id), file.document.pk) for file in uploaded.files]


def nothing_is_in_flight() -> bool:
    with all_tenants():
        return not LiveExecution.objects.exists()


def no_worker_is_online() -> bool:
    with all_tenants():
        return not Worker.objects.exclude(status="stopped").exists()


def set_granularity(seconds: int) -> None:
    with all_tenants():
        CFSPlan.objects.filter(is_active=True).update(granularity_seconds=seconds)


def count(jobs: Sequence[Job], outcome: str) -> int:
    with all_tenants():
        return Execution.objects.filter(job_id__in=[job.pk for job in jobs], outcome=outcome).count()


def states_of(job: Job) -> list[str]:
    """Return the states of a job in the order of their events."""
    with all_tenants():
        events = JobEvent.objects.filter(job_id=job.pk).order_by("id")
        return list(events.values_list("state", flat=True))


def is_legal(states: Sequence[str]) -> bool:
    """Return whether the path follows the table of transitions, from the submission to the end."""
    return states[0] == "available" and all(
        is_allowed(JobState(before), JobState(after)) for before, after in pairwise(states)
    )
