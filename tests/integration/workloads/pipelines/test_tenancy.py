"""Isolation of pipelines: another tenant's datasets, files, pipelines, runs and entities are out of reach."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.pipelines.conftest import JobRunner, definition, entities_of, run_of, text, upload
from workloads.documents.models import Chunk, Dataset
from workloads.pipelines.exceptions import PipelineDefinitionError, SourcesInvalidError
from workloads.pipelines.models import Pipeline, PipelineVersion
from workloads.pipelines.runs import start_run
from workloads.pipelines.service import create_pipeline, save_version

type MakePipeline = Callable[..., Pipeline]


@pytest.mark.parametrize("by", ["id", "name"])
def test_dataset_of_another_tenant_is_not_found(
    acme: Tenant, dataset: Dataset, globex_dataset: Dataset, by: str
) -> None:
    named = str(globex_dataset.pk) if by == "id" else globex_dataset.name
    with pytest.raises(PipelineDefinitionError) as refusal:
        create_pipeline(tenant=acme, name="x", definition=definition(text("a.txt", "One."), dataset=named))
    assert refusal.value.errors == [
        {"pointer": "/nodes/5/config/dataset", "code": "not_found", "detail": "There is no such dataset."}
    ]


def test_version_saved_by_the_platform_stays_within_its_tenant(
    acme: Tenant, make_pipeline: MakePipeline, globex_dataset: Dataset
) -> None:
    pipeline = make_pipeline(text("a.txt", "One."))
    with all_tenants(), pytest.raises(PipelineDefinitionError):
        save_version(pipeline_id=pipeline.pk, definition=definition(dataset=globex_dataset.name))


def test_file_of_another_tenant_is_not_found(acme: Tenant, globex: Tenant, make_pipeline: MakePipeline) -> None:
    theirs = {"type": "file", "file": str(upload(globex, "a.txt", b"secret").pk)}
    with pytest.raises(PipelineDefinitionError) as refusal:
        make_pipeline(text("a.txt", "One."), theirs)
    assert refusal.value.errors[0]["pointer"] == "/nodes/0/config/sources/1/file"
    pipeline = make_pipeline(text("a.txt", "One."))
    with pytest.raises(SourcesInvalidError) as refused:
        start_run(tenant=acme, pipeline_id=pipeline.pk, sources=[theirs])
    assert refused.value.errors[0]["pointer"] == "/sources/0/file"


def test_pipeline_run_and_entity_of_another_tenant_are_not_found(
    acme: Tenant, make_pipeline: MakePipeline, globex_api: APIClient
) -> None:
    pipeline = make_pipeline(text("a.txt", "One."))
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    (entity,) = entities_of(run)
    for path in (
        f"pipelines/{pipeline.pk}/",
        f"pipelines/{pipeline.pk}/versions/",
        f"pipelines/{pipeline.pk}/versions/1/",
        f"pipeline-runs/{run.pk}/",
        f"pipeline-runs/{run.pk}/entities/",
        f"entities/{entity.pk}/",
    ):
        assert globex_api.get(f"/api/v1/{path}").status_code == 404, path
    for path in (f"pipelines/{pipeline.pk}/runs/", f"entities/{entity.pk}/retry/"):
        assert globex_api.post(f"/api/v1/{path}", {}, format="json").status_code == 404, path
    body = {"definition": definition(text("a.txt", "One."), dataset="handbook")}
    assert globex_api.post(f"/api/v1/pipelines/{pipeline.pk}/versions/", body, format="json").status_code == 404
    for path in ("pipelines/", "pipeline-runs/"):
        assert globex_api.get(f"/api/v1/{path}").data["results"] == []


def test_job_submitted_for_another_tenants_run_is_discarded(
    acme: Tenant, globex: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner
) -> None:
    run = start_run(tenant=acme, pipeline_id=make_pipeline(text("a.txt", "One.")).pk)
    request = JobRequest(kind="rag_pipeline", payload={"run_id": str(run.pk)})
    job = job_runner.run(submit_job(tenant=globex, request=request).job.pk)
    assert (job.state, job.error_type) == ("discarded", "run_gone")
    assert run_of(run).shown_state == "waiting"


def test_version_with_another_tenants_dataset_loads_nothing(
    acme: Tenant, make_pipeline: MakePipeline, globex_dataset: Dataset, job_runner: JobRunner
) -> None:
    """Store the version without its validation."""
    pipeline = make_pipeline(text("a.txt", "One."))
    with tenant_context(acme):
        pipeline.latest_number = 2
        pipeline.save()
        PipelineVersion.objects.create(
            id=uuid4(),
            tenant=acme,
            pipeline=pipeline,
            number=2,
            definition=definition(text("a.txt", "One.")),
            dataset_id=globex_dataset.pk,
        )
    run = start_run(tenant=acme, pipeline_id=pipeline.pk)
    job = job_runner.run(run.job_id)
    assert (job.state, job.error_type) == ("discarded", "dataset_gone")
    with all_tenants():
        assert not Chunk.objects.exists()
