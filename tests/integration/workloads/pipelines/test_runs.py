"""Runs from their start to the chunks of documents, on the real tables, as the restricted role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.suspension import suspend_job
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.pipelines.conftest import (
    JobRunner,
    chunks_of,
    definition,
    entities_of,
    files_in,
    paragraphs,
    pipeline_of,
    run_of,
    text,
    upload,
)
from tests.platform_settings import ChangePlatformSettings
from tests.unit.workloads.documents.extraction.makers import make_pdf
from tests.web_server import WebServer, web_server
from workloads.documents.indexing.exceptions import DocumentBusyError
from workloads.documents.indexing.service import delete_document, pause_document, retry_document
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.search import search_dataset
from workloads.documents.service import update_dataset
from workloads.files.service import delete_file
from workloads.pipelines.models import Pipeline
from workloads.pipelines.runs import start_run
from workloads.pipelines.service import save_version

type MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def website(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    """Return a server that tenants may call."""
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        yield running


def queue_of(job_id: UUID) -> str:
    with all_tenants():
        return Job.objects.select_related("queue").get(pk=job_id).queue.name


def test_each_source_becomes_a_document_with_its_chunks(
    acme: Tenant, dataset: Dataset, make_pipeline: MakePipeline, job_runner: JobRunner
) -> None:
    pipeline = make_pipeline(text("a.txt", paragraphs(9)), text("b.md", "# Title\n\nOne section only."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    assert run_of(run).shown_state == "waiting"
    job = job_runner.run(run.job_id)
    shown = run_of(run)
    assert (job.state, shown.shown_state) == (JobState.COMPLETED, "completed"), job.error_message
    assert (shown.entities_total, shown.entities_completed, shown.entities_error) == (2, 2, 0)
    first, second = entities_of(run)
    assert (first.shown_state, first.attempt, first.chunks_done, first.chunks_total) == ("completed", 1, 9, 9)
    assert chunks_of(first) == paragraphs(9).split("\n\n")
    assert chunks_of(second) == ["Title\nOne section only."]
    assert job.result == {"run": str(run.pk), "entities": {"completed": 2}, "chunks": 10}
    assert job_runner.runtimes[-1].progress[-1] == (2, 2)
    with tenant_context(acme):
        documents = {row.name: (row.status, row.content_type) for row in Document.objects.all()}
        hits = search_dataset(dataset=dataset, query="Paragraph 7 tells about queues", top_k=1)
    assert documents == {"a.txt": ("completed", "text/plain"), "b.md": ("completed", "text/markdown")}
    assert hits[0].chunk.text.startswith("Paragraph 7 ")


def test_steps_follow_the_definition(acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner) -> None:
    page = "# One\n\nSee https://example.com/x and mail bob@example.com today.\n\n## Two\n\nMore of it."
    page += "\n\n### Three\n\nEnd."
    pipeline = make_pipeline(
        text("a.md", page),
        clean={"remove_urls": True, "remove_emails": True},
        split={"mode": "markdown", "chunk_size": 200, "chunk_overlap": 0, "heading_level": 2},
    )
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    job_runner.run(run.job_id)
    (entity,) = entities_of(run)
    assert chunks_of(entity) == ["One\nSee and mail today.", "Two\nMore of it.\n\n\nThree\nEnd."]
    with tenant_context(acme):
        places = list(Chunk.objects.order_by("position").values_list("location__heading", flat=True))
    assert places == [["One"], ["One", "Two"]]


def test_page_is_fetched_and_read_by_its_content_type(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, website: WebServer
) -> None:
    page = b"<html><body><h1>Fair</h1><p>Queues in a page</p></body></html>"
    website.answers = {
        "/fair": (200, {"Content-Type": "text/html; charset=utf-8"}, page),
        "/moved": (302, {"Location": f"{website.url}/fair"}, b""),
        "/gone": (404, {}, b"no"),
        "/binary": (200, {"Content-Type": "application/octet-stream"}, bytes(range(256))),
    }
    sources = [{"type": "url", "url": f"{website.url}/{path}"} for path in ("fair", "gone", "binary")]
    pipeline = make_pipeline(*sources)
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    job = job_runner.run(run.job_id)
    fair, gone, binary = entities_of(run)
    assert (job.state, run_of(run).shown_state) == (JobState.COMPLETED, "partial")
    assert (fair.name, chunks_of(fair)) == ("fair", ["Fair\nQueues in a page"])
    assert (gone.shown_state, gone.shown_error_code) == ("error", "http_404")
    assert (binary.shown_state, binary.shown_error_code) == ("error", "type_unknown")
    assert run_of(run).entities_error == 2


def test_uploaded_file_is_a_source_until_its_run_has_ended(
    acme: Tenant,
    make_pipeline: MakePipeline,
    job_runner: JobRunner,
    files_root: Path,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    good, bad = upload(acme, "a.pdf", make_pdf("Fair queues")), upload(acme, "b.bin", bytes(range(256)))
    pipeline = make_pipeline(
        {"type": "file", "file": str(good.pk), "name": "Report"}, {"type": "file", "file": str(bad.pk)}
    )
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    with django_capture_on_commit_callbacks(execute=True), tenant_context(acme):
        for file in (good, bad):
            delete_file(file=file)
    with django_capture_on_commit_callbacks(execute=True):
        assert job_runner.run(run.job_id).state == JobState.COMPLETED
    first, second = entities_of(run)
    assert (first.name, first.content_type, chunks_of(first)) == ("Report", "application/pdf", ["Fair queues"])
    assert (second.name, second.shown_error_code) == ("b.bin", "type_unknown")
    # The document's file, and that of the entity that may be retried.
    assert files_in(files_root) == 2


def test_entity_in_error_does_not_affect_the_others(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner
) -> None:
    pipeline = make_pipeline(text("bad.txt", " \n "), text("good.txt", "Good text."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    bad, good = entities_of(run)
    assert (bad.shown_state, bad.shown_error_code, bad.attempt) == ("error", "file_without_text", 1)
    assert good.shown_state == "completed"
    assert run_of(run).shown_state == "partial"


def test_run_without_completed_entities_has_failed(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner
) -> None:
    pipeline = make_pipeline(text("bad.txt", " \n "))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    assert run_of(run).shown_state == "failed"


def test_transient_error_is_retried_up_to_the_limit(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, website: WebServer
) -> None:
    website.answers = {"/busy": (503, {"Retry-After": "0"}, b"")}
    pipeline = make_pipeline({"type": "url", "url": f"{website.url}/busy"})
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    job_runner.run(run.job_id)
    (entity,) = entities_of(run)
    assert (entity.shown_state, entity.attempt, entity.shown_error_code) == ("error", 4, "http_503")
    assert len(website.seen) == 4


def test_same_content_is_loaded_once(acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner) -> None:
    pipeline = make_pipeline(text("a.txt", "One text."), text("b.txt", "One text."))
    first, second = (start_run(tenant=acme, pipeline_id=pipeline.pk) for _ in range(2))
    for run in (first, second):
        assert job_runner.run(run.job_id).state == JobState.COMPLETED
    entities = [*entities_of(first), *entities_of(second)]
    assert [entity.shown_state for entity in entities] == ["completed"] * 4
    assert [entity.is_duplicate for entity in entities].count(False) == 1
    with tenant_context(acme):
        assert (Document.objects.count(), Chunk.objects.count()) == (1, 1)


def test_run_keeps_the_version_of_its_start(acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner) -> None:
    pipeline = make_pipeline(text("a.txt", paragraphs(4)))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    with tenant_context(acme):
        save_version(
            pipeline_id=pipeline.pk,
            definition=definition(text("b.txt", "Other text."), split={"chunk_size": 500}),
        )
    old = start_run(tenant=acme, pipeline_id=pipeline.pk, number=1)
    new = start_run(tenant=acme, pipeline_id=pipeline.pk)
    for each in (run, old, new):
        job_runner.run(each.job_id)
    assert [run_of(each).version.number for each in (run, old, new)] == [1, 1, 2]
    assert len(chunks_of(entities_of(run)[0])) == 4
    assert entities_of(new)[0].name == "b.txt"


def test_sources_of_a_run_replace_those_of_the_definition(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner
) -> None:
    pipeline = make_pipeline(text("a.txt", "One."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk, sources=[text("b.txt", "Two.")])
    job_runner.run(run.job_id)
    assert [entity.name for entity in entities_of(run)] == ["b.txt"]


def test_priority_queue_is_used_by_paid_tiers_and_on_request(
    acme: Tenant, globex: Tenant, make_pipeline: MakePipeline
) -> None:
    assert (acme.plan.tier_id, globex.plan.tier_id) == ("team", "sandbox")
    pipeline = make_pipeline(text("a.txt", "One."))
    assert queue_of(start_run(tenant=acme, pipeline_id=pipeline.pk).job_id) == "priority_pipeline"
    others = pipeline_of(globex)
    assert queue_of(start_run(tenant=globex, pipeline_id=others.pk).job_id) == "pipeline"
    asked = start_run(tenant=globex, pipeline_id=others.pk, has_priority=True)
    assert queue_of(asked.job_id) == "priority_pipeline"


def test_deleted_dataset_fails_the_run(acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner) -> None:
    pipeline = make_pipeline(text("a.txt", "One."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    with tenant_context(acme):
        Dataset.objects.all().delete()
    job = job_runner.run(run.job_id)
    assert (job.state, job.error_type) == (JobState.DISCARDED, "dataset_gone")
    assert run_of(run).shown_error_code == "dataset_gone"


def test_renamed_dataset_is_found(
    acme: Tenant, dataset: Dataset, make_pipeline: MakePipeline, job_runner: JobRunner
) -> None:
    pipeline = make_pipeline(text("a.txt", "One."))
    with tenant_context(acme):
        update_dataset(dataset=dataset, name="manual")
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED


def test_run_whose_job_ended_early_shows_it_at_once(acme: Tenant, make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(text("a.txt", "One."))
    cancelled, paused = (start_run(tenant=acme, pipeline_id=pipeline.pk) for _ in range(2))
    with tenant_context(acme):
        cancel_job(job_id=cancelled.job_id)
        suspend_job(job_id=paused.job_id)
    assert (run_of(cancelled).shown_state, run_of(paused).shown_state) == ("cancelled", "paused")
    assert run_of(cancelled).shown_error_code == "cancelled"
    assert [entity.shown_state for entity in entities_of(cancelled)] == ["cancelled"]
    assert [entity.shown_state for entity in entities_of(paused)] == ["waiting"]


def test_deleted_document_does_not_affect_the_run_that_loads_it(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make_pipeline(text("a.txt", paragraphs(9)))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    job = job_runner.run(run.job_id, yield_after=6)
    assert job.state == JobState.AVAILABLE
    with tenant_context(acme):
        document = Document.objects.get()
        assert document.status == "indexing"
        for act in (retry_document, pause_document):
            with pytest.raises(DocumentBusyError):
                act(document_id=document.pk)
        delete_document(document_id=document.pk)
    # It restarts that entity, because the run has to produce the document.
    assert job_runner.run(job.pk).state == JobState.COMPLETED
    (entity,) = entities_of(run)
    assert (entity.shown_state, len(chunks_of(entity))) == ("completed", 9)
    assert entity.document_id != document.pk
