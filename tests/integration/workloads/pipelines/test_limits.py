"""Limits of a run: space, batches, memory, endpoints; and the removal of its intermediate data."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from scheduling.jobs.lifecycle import JobState
from scheduling.kit.base import Dependency, TransientError
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.limits.declared import Limit
from tenants.limits.service import set_tenant_limit
from tenants.limits.usage import read_stored
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.workloads.pipelines.conftest import (
    JobRunner,
    entities_of,
    files_in,
    paragraphs,
    rescue,
    run_of,
    text,
)
from workloads.documents.embedding import Embedder
from workloads.documents.embedding_models import local_embedder
from workloads.documents.exceptions import BatchTooLargeError
from workloads.documents.limits import FILES_PER_BATCH, VECTOR_CHUNKS
from workloads.documents.models import Document
from workloads.files.limits import STORAGE_BYTES
from workloads.pipelines import processor, run_execution
from workloads.pipelines.adaptive_concurrency import AdaptiveConcurrency
from workloads.pipelines.models import Pipeline, PipelineEntity
from workloads.pipelines.runs import start_run

type MakePipeline = Callable[..., Pipeline]


def allow(tenant: Tenant, limit: Limit, value: int) -> None:
    set_tenant_limit(tenant=tenant, key=limit.key, value=value, reason="test")


def used(tenant: Tenant, limit: Limit) -> int:
    with tenant_context(tenant):
        return read_stored(tenant.pk, limit)


def test_intermediate_data_is_removed_when_the_run_has_ended(
    acme: Tenant,
    make_pipeline: MakePipeline,
    job_runner: JobRunner,
    files_root: Path,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    pipeline = make_pipeline(text("a.txt", paragraphs(9)), text("bad.txt", " \n "))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    with django_capture_on_commit_callbacks(execute=True):
        job_runner.run(run.job_id, stop_after=6)
    assert files_in(files_root) >= 2
    with tenant_context(acme):
        assert PipelineEntity.objects.exclude(content_key="").exists()
    with all_tenants():
        job = Job.objects.get(pk=run.job_id)
    with django_capture_on_commit_callbacks(execute=True):
        job_runner.run(rescue(job).pk)
    # The document's own file is left.
    assert run_of(run).shown_state == "partial"
    assert files_in(files_root) == 1
    assert used(acme, STORAGE_BYTES) == len(paragraphs(9).encode())
    with tenant_context(acme):
        assert not PipelineEntity.objects.exclude(content_key="", passages_key="").exists()
    assert faults_of("storage", "space") == []
    assert used(acme, VECTOR_CHUNKS) == 9


def test_vector_space_limit_refuses_only_the_entity_in_question(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner
) -> None:
    allow(acme, VECTOR_CHUNKS, 5)
    pipeline = make_pipeline(text("long.txt", paragraphs(9)), text("short.txt", "One."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    job_runner.run(run.job_id)
    long, short = entities_of(run)
    assert (long.shown_state, long.shown_error_code) == ("error", "space_exceeded")
    assert short.shown_state == "completed"
    with tenant_context(acme):
        assert [document.name for document in Document.objects.all()] == ["short.txt"]
    assert faults_of("space") == []


def test_storage_limit_refuses_the_entity(acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner) -> None:
    set_tenant_limit(tenant=acme, key=STORAGE_BYTES.key, value=1, reason="test")
    pipeline = make_pipeline(text("a.txt", paragraphs(9)))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    job_runner.run(run.job_id)
    (entity,) = entities_of(run)
    assert (entity.shown_state, entity.shown_error_code) == ("error", "space_exceeded")
    assert faults_of("storage") == []


def test_run_larger_than_a_batch_is_refused_twice(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner
) -> None:
    pipeline = make_pipeline(text("a.txt", "One."), text("b.txt", "Two."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    allow(acme, FILES_PER_BATCH, 1)
    with pytest.raises(BatchTooLargeError):
        start_run(tenant=acme, pipeline_id=pipeline.pk)
    job = job_runner.run(run.job_id)
    assert (job.state, job.error_type) == (JobState.DISCARDED, "batch_too_large")
    shown = run_of(run)
    assert (shown.shown_state, shown.shown_error_code) == ("failed", "batch_too_large")
    assert {entity.shown_error_code for entity in entities_of(run)} == {"batch_too_large"}


class BusyEmbedder(Embedder):
    """An endpoint that answers 429 to the first calls, and counts concurrent ones."""

    dependency = Dependency("embeddings", is_shared=True)

    def __init__(self, *, refusals: int) -> None:
        self.refusals = refusals
        self.calls = 0
        self._guard = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Any:
        with self._guard:
            self.calls += 1
            if self.calls <= self.refusals:
                raise TransientError("too many", code="embedding_unavailable", retry_after_seconds=0.0)
        return local_embedder().embed(texts)


def test_overloaded_endpoint_is_called_less_and_everything_is_loaded(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, paces = BusyEmbedder(refusals=3), []
    monkeypatch.setattr("workloads.pipelines.run_execution.embedder_of", lambda *_: busy)
    monkeypatch.setattr(
        processor, "AdaptiveConcurrency", lambda most: paces.append(AdaptiveConcurrency(most)) or paces[-1]
    )
    pipeline = make_pipeline(*(text(f"{name}.txt", f"Text {name}.") for name in "abcd"))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    assert run_of(run).shown_state == "completed"
    assert busy.calls == 3 + 4
    # A rate limit uses no attempt.
    assert [entity.attempt for entity in entities_of(run)] == [1, 1, 1, 1]
    assert paces[0].width < paces[0].most


def test_low_memory_reduces_the_run_to_one_entity_at_a_time(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_execution, "resident_mib", lambda: 10_000.0)
    pipeline = make_pipeline(*(text(f"{name}.txt", f"Text {name}.") for name in "abc"))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    assert run_of(run).entities_completed == 3
