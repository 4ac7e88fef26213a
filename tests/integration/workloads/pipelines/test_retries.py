"""Retries of single entities, during and after their run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.retries import retry_job
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.workloads.pipelines.conftest import JobRunner, chunks_of, entities_of, run_of, text
from tests.platform_settings import ChangePlatformSettings
from tests.web_server import WebServer, web_server
from workloads.pipelines.exceptions import EntityNotRetryableError
from workloads.pipelines.models import Pipeline, PipelineRun
from workloads.pipelines.runs import retry_entity, start_run

type MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def website(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        running.answers = {"/a.txt": (404, {}, b"")}
        yield running


@pytest.fixture
def ended(acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, website: WebServer) -> PipelineRun:
    """Return a run with an entity in error and a completed one."""
    pipeline = make_pipeline({"type": "url", "url": f"{website.url}/a.txt"}, text("b.txt", "Two."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    job_runner.run(run.job_id)
    assert run_of(run).shown_state == "partial"
    return run


def retry(run: PipelineRun, index: int = 0) -> Job:
    """Retry an entity of a run; return its new job."""
    entity = entities_of(run)[index]
    with tenant_context(run.tenant_id):
        job_id = retry_entity(entity_id=entity.pk, reason="it is back").job_id
    with all_tenants():
        return Job.objects.get(pk=job_id)


def test_entity_is_retried_by_its_own_job(
    ended: PipelineRun, job_runner: JobRunner, website: WebServer, acme: Tenant
) -> None:
    website.answers = {"/a.txt": (200, {"Content-Type": "text/plain"}, b"It is back.")}
    job = retry(ended)
    assert (job.parent_id, job.payload["entity_id"]) == (ended.job_id, str(entities_of(ended)[0].pk))
    waiting = run_of(ended)
    assert (waiting.shown_state, waiting.ended_at) == ("running", None)
    assert job_runner.run(job.pk).state == JobState.COMPLETED
    first, second = entities_of(ended)
    assert (first.shown_state, first.attempt, first.error_code, chunks_of(first)) == (
        "completed",
        1,
        "",
        ["It is back."],
    )
    # The other entity is unchanged.
    assert second.job_id == ended.job_id
    shown = run_of(ended)
    assert (shown.shown_state, shown.entities_completed, shown.entities_error) == ("completed", 2, 0)
    with tenant_context(acme):
        entry = AuditLogEntry.objects.get(action="pipeline_entity.retried")
        assert (entry.reason, entry.after) == ("it is back", {"job": str(job.pk)})
        assert not AuditLogEntry.objects.filter(action="job.submitted", target_id=str(job.pk)).exists()


def test_entity_failing_again_ends_the_run_again(ended: PipelineRun, job_runner: JobRunner) -> None:
    assert job_runner.run(retry(ended).pk).state == JobState.COMPLETED
    shown = run_of(ended)
    assert (shown.shown_state, shown.entities_error) == ("partial", 1)


def test_only_failed_or_cancelled_entities_can_be_retried(ended: PipelineRun) -> None:
    with pytest.raises(EntityNotRetryableError):
        retry(ended, 1)
    retry(ended)
    with pytest.raises(EntityNotRetryableError):
        retry(ended)


def test_entity_of_a_cancelled_run_is_retried_alone(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner
) -> None:
    run = start_run(tenant=acme, pipeline_id=make_pipeline(text("a.txt", "One."), text("b.txt", "Two.")).pk)
    with tenant_context(acme):
        cancel_job(job_id=run.job_id)
    assert job_runner.run(retry(run).pk).state == JobState.COMPLETED
    assert [entity.shown_state for entity in entities_of(run)] == ["completed", "cancelled"]


def test_retry_during_the_run_completes_its_entity_and_the_run(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, website: WebServer
) -> None:
    pipeline = make_pipeline({"type": "url", "url": f"{website.url}/a.txt"}, *(text(f"{n}.txt", f"{n}.") for n in "bc"))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    # It yields after the first stored entity, which is the missing page.
    job = job_runner.run(run.job_id, yield_after=0)
    while entities_of(run)[0].state != "error":
        job = job_runner.run(job.pk, yield_after=0)
    website.answers = {"/a.txt": (200, {"Content-Type": "text/plain"}, b"It is back.")}
    again = retry(run)
    assert job_runner.run(again.pk).state == JobState.COMPLETED
    assert entities_of(run)[0].shown_state == "completed"
    while job.state == JobState.AVAILABLE:
        job = job_runner.run(job.pk)
    assert job.state == JobState.COMPLETED
    assert run_of(run).shown_state == "completed"


def test_replayed_job_of_a_cancelled_run_completes_the_rest(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner
) -> None:
    run = start_run(tenant=acme, pipeline_id=make_pipeline(text("a.txt", "One."), text("b.txt", "Two.")).pk)
    with tenant_context(acme):
        cancel_job(job_id=run.job_id)
        again = retry_job(job_id=run.job_id).job
    assert job_runner.run(again.pk).state == JobState.COMPLETED
    shown = run_of(run)
    assert (shown.shown_state, shown.job_id, shown.entities_completed) == ("completed", again.pk, 2)
