"""Pipelines, runs and entities in the console."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.pipelines.conftest import JobRunner, definition, entities_of, text
from tests.polled import is_answered_304
from workloads.documents.models import Dataset
from workloads.pipelines.models import Pipeline, PipelineRun, PipelineVersion

PIPELINES, RUNS, ENTITIES = (f"/admin/rag_pipeline/{name}/" for name in ("pipeline", "pipelinerun", "pipelineentity"))


@pytest.fixture
def member(acme_user: User) -> Client:
    client = Client()
    client.force_login(acme_user)
    return client


@pytest.fixture
def platform(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


def form(*sources: dict[str, str], **values: str) -> dict[str, str]:
    written = json.dumps(definition(*sources or (text("a.txt", "One."),)))
    return {"name": "docs", "description": "", "definition": written, "note": "", **values}


def test_member_creates_edits_runs_and_retries(
    member: Client, acme: Tenant, dataset: Dataset, job_runner: JobRunner
) -> None:
    assert "the name of a dataset" in member.get(f"{PIPELINES}add/").content.decode()
    assert member.post(f"{PIPELINES}add/", form(text("bad.txt", " \n "))).status_code == 302
    with tenant_context(acme):
        pipeline = Pipeline.objects.get()
    page = f"{PIPELINES}{pipeline.pk}/change/"
    assert "No runs yet" in member.get(page).content.decode()
    # A changed name is no new version; a changed definition is.
    same = form(text("bad.txt", " \n "), name="pages")
    assert member.post(page, same).status_code == 302
    assert member.post(page, form(text("bad.txt", " "), name="pages", note="shorter")).status_code == 302
    with tenant_context(acme):
        assert list(PipelineVersion.objects.order_by("number").values_list("number", "note")) == [
            (1, ""),
            (2, "shorter"),
        ]
    begun = member.post(f"{PIPELINES}{pipeline.pk}/act/run/")
    assert "data-live" in member.get(begun["Location"]).content.decode()
    with tenant_context(acme):
        run = PipelineRun.objects.get()
    assert begun["Location"] == f"{RUNS}{run.pk}/change/"
    job_runner.run(run.job_id)
    assert f'href="{begun["Location"]}"' in member.get(f"/admin/scheduling/job/{run.job_id}/change/").content.decode()
    shown = member.get(begun["Location"]).content.decode()
    (entity,) = entities_of(run)
    assert "file_without_text" in shown
    assert f"{ENTITIES}{entity.pk}/act/retry/" in shown
    record = f"/admin/workflow_storage/workflowrun/{run.job_id}/change/"
    assert record in shown
    nodes = member.get(record).content.decode()
    # Entities are retried; their run is not replayed.
    assert ("bad.txt: file_without_text" in nodes, "/replay/" in nodes) == (True, False)
    assert "data-live" not in shown
    part = member.get(f"{RUNS}{run.pk}/part/")
    assert (part.status_code, "0 of 1 completed, 1 in error" in part.content.decode()) == (200, True)
    assert is_answered_304(member, f"{RUNS}{run.pk}/part/")
    assert member.post(f"{ENTITIES}{entity.pk}/act/retry/").status_code == 302
    assert entities_of(run)[0].shown_state == "waiting"
    for listed in (PIPELINES, RUNS, ENTITIES, f"{RUNS}?state=running", f"{ENTITIES}?state=error"):
        assert member.get(listed).status_code == 200


def test_definition_faults_stand_beside_the_field_and_keep_the_input(
    member: Client, acme: Tenant, dataset: Dataset
) -> None:
    wrong = json.dumps(definition(split={"chunk_size": 3}))
    answer = member.post(f"{PIPELINES}add/", form(definition=wrong))
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "/nodes/3/config/chunk_size: " in page
    assert "chunk_size&quot;: 3" in page
    with tenant_context(acme):
        assert not Pipeline.objects.exists()


def test_staff_must_name_the_tenant_of_the_datasets(
    platform: Client, acme: Tenant, dataset: Dataset, globex_dataset: Dataset
) -> None:
    theirs = json.dumps(definition(text("a.txt", "One."), dataset=globex_dataset.name))
    refused = platform.post(f"{PIPELINES}add/", {**form(definition=theirs), "tenant": str(acme.pk)})
    assert "There is no such dataset." in refused.content.decode()
    assert platform.post(f"{PIPELINES}add/", {**form(), "tenant": str(acme.pk)}).status_code == 302
    with all_tenants():
        assert Pipeline.objects.get().tenant_id == acme.pk
