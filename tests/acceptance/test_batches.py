"""Batches and children with real processes, some of which die."""

from __future__ import annotations

import pytest

from scheduling.jobs.batches.completion import CompletionJob
from scheduling.jobs.batches.service import open_batch
from scheduling.jobs.requests import JobRequest
from scheduling.models import Batch, Job
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.conftest import Platform
from tests.acceptance.helpers import event_names, fetch, submit, wait_for
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.serving import START_SECONDS, is_ready

pytestmark = [pytest.mark.slow, pytest.mark.core]


def reload(batch: Batch) -> Batch:
    with all_tenants():
        return Batch.objects.get(pk=batch.pk)


def test_batch_submits_its_completion_job_once_when_it_ends(platform: Platform, acme: Tenant) -> None:
    requests = [JobRequest(kind="noop")] * 40 + [JobRequest(kind="sleep", payload={"seconds": 0.1})] * 10
    after = CompletionJob(kind="noop", summary_as="batch", tags=("after",))
    batch, _ = open_batch(tenant=acme, label="many", requests=requests, on_completion=after, closes=True)
    eventually(lambda: reload(batch).fired_job_id is not None, what="its completion job is submitted")
    done = reload(batch)
    assert (done.state, done.completed) == ("completed", 50)
    with all_tenants():
        (job,) = Job.objects.filter(tenant=acme, tags=["after"])
    assert job.payload["batch"]["completed"] == 50
    assert wait_for(job, "completed").pk == done.fired_job_id


def test_parent_job_waits_for_children_across_worker_and_dispatcher_crashes(
    platform: Platform,
    example: ManagedProcess,
    example_folder: str,
    acme: Tenant,
) -> None:
    documents = [f"{'word ' * number}end" for number in range(30)]
    (parent,) = submit(acme, "acme_corpus_count", {"documents": documents})
    eventually(lambda: fetch(parent).state == "suspended", what="the parent waits")
    example.kill()
    platform.stop_extras()
    platform.start_dispatcher(PYTHONPATH=str(example_folder))
    worker = platform.begin_worker(PYTHONPATH=str(example_folder))
    eventually(lambda: is_ready(worker) or not worker.is_running, within=START_SECONDS, what="the worker is ready")
    done = wait_for(parent, "completed")
    assert done.result == {"documents": 30, "words": sum(range(30)) + 30}
    assert event_names(parent).count("job.children_ended") == 1
    with all_tenants():
        batch = Batch.objects.get(waiting_job_id=parent.pk)
        assert Job.objects.filter(batch_id=batch.pk).count() == 30
    assert (batch.state, batch.completed) == ("completed", 30)
