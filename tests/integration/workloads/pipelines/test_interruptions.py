"""Interruptions of a run at any point: committed work is not repeated, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from scheduling.jobs.lifecycle import JobState
from scheduling.models import JobDue
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.pipelines.conftest import (
    JobRunner,
    chunks_of,
    entities_of,
    paragraphs,
    rescue,
    run_of,
    text,
)
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.extraction import extractor
from workloads.documents.models import Chunk, Document
from workloads.documents.one_item import steps
from workloads.documents.one_item.item import IndexingItem
from workloads.pipelines.models import Pipeline, PipelineRun
from workloads.pipelines.runs import start_run

type MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of the texts that were embedded, in order."""
    texts: list[str] = []
    embed = steps.embed

    def noting(item: IndexingItem, *arguments: Any) -> object:
        texts.extend(passage.text for passage in item.next_batch())
        return embed(item, *arguments)

    monkeypatch.setattr(steps, "embed", noting)
    return texts


def check_whole(run: PipelineRun, tenant: Tenant) -> None:
    """Assert that every entity is completed, with its chunks once."""
    assert run_of(run).shown_state == "completed"
    assert [len(chunks_of(entity)) for entity in entities_of(run)] == [9, 5, 1]
    with tenant_context(tenant):
        assert (Document.objects.count(), Chunk.objects.count()) == (3, 15)


def sources() -> list[dict[str, str]]:
    return [
        text("a.txt", paragraphs(9)),
        text("b.txt", paragraphs(5, of="tenants")),
        text("c.md", "# One\n\nText."),
    ]


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 4, 5])
def test_repeatedly_killed_worker_leaves_each_chunk_once(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, stop_after: int, embedded: list[str]
) -> None:
    """Kill each start at a later checkpoint than the one before, before its commit."""
    run = start_run(tenant=acme, pipeline_id=make_pipeline(*sources()).pk)
    job = job_runner.run(run.job_id, stop_after=stop_after)
    while job.state == JobState.EXECUTING:
        with tenant_context(acme):
            kept = set(Chunk.objects.values_list("pk", flat=True))
        stop_after += 2
        job = job_runner.run(rescue(job).pk, stop_after=stop_after)
        with tenant_context(acme):
            assert kept <= set(Chunk.objects.values_list("pk", flat=True))
    assert job.state == JobState.COMPLETED
    check_whole(run, acme)


def test_run_that_yields_at_every_safe_point_embeds_nothing_twice(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, embedded: list[str]
) -> None:
    run = start_run(tenant=acme, pipeline_id=make_pipeline(*sources()).pk)
    job = job_runner.run(run.job_id, yield_after=0)
    starts = 1
    while job.state == JobState.AVAILABLE:
        with tenant_context(acme):
            stored = set(Chunk.objects.values_list("text", flat=True))
        embedded.clear()
        job = job_runner.run(job.pk, yield_after=0)
        starts += 1
        assert not stored & set(embedded)
    assert (job.state, job.attempt, job.crash_count) == (JobState.COMPLETED, 0, 0)
    assert starts > 3
    check_whole(run, acme)


def test_program_error_is_stored_for_its_entity_and_logged(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract = steps.extract

    def failing(item: IndexingItem, *arguments: Any) -> object:
        if item.name == "b.txt":
            raise ZeroDivisionError("a fault of the program")
        return extract(item, *arguments)

    monkeypatch.setattr(steps, "extract", failing)
    run = start_run(tenant=acme, pipeline_id=make_pipeline(*sources()).pk)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    bad = entities_of(run)[1]
    assert (bad.shown_state, bad.attempt, bad.shown_error_code) == ("error", 4, "ZeroDivisionError")
    assert run_of(run).entities_completed == 2
    assert any(fields.get("error") == "a fault of the program" for _, fields in job_runner.runtimes[-1].logged)


def test_run_without_a_sandbox_waits_and_uses_no_attempt(
    acme: Tenant,
    make_pipeline: MakePipeline,
    job_runner: JobRunner,
    monkeypatch: pytest.MonkeyPatch,
    change_platform_settings: ChangePlatformSettings,
) -> None:
    pipeline = make_pipeline(text("a.txt", "One section only."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    with monkeypatch.context() as patch:
        change_platform_settings(EXTRACTION_WITHOUT_SANDBOX=False)
        patch.setattr(extractor, "CHILD_MODULE", "tests.security.bare_parser")
        for _ in range(5):
            job = job_runner.run(run.job_id)
            assert (job.state, job.attempt) == (JobState.SCHEDULED, 0)
            with all_tenants():
                JobDue.objects.update(due_at=Now() - timedelta(hours=1))
    job = job_runner.run(run.job_id)
    (entity,) = entities_of(run)
    assert (job.state, entity.shown_state, entity.attempt) == (JobState.COMPLETED, "completed", 1)
