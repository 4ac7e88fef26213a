"""Pipelines, versions, runs and entities over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import ProgrammingError
from rest_framework.test import APIClient

from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.workloads.pipelines.conftest import JobRunner, definition, text
from workloads.documents.models import Dataset, Document
from workloads.pipelines.models import PipelineVersion

PIPELINES = "/api/v1/pipelines/"


def make(api: APIClient, **fields: Any) -> Any:
    body = {"name": "docs", "definition": definition(text("a.txt", "One.")), **fields}
    return api.post(PIPELINES, body, format="json")


def test_pipeline_is_created_run_and_read(acme_api: APIClient, dataset: Dataset, job_runner: JobRunner) -> None:
    made = make(acme_api, definition=definition(text("a.txt", "One."), text("bad.txt", " \n ")))
    assert made.status_code == 201, made.data
    assert (made.data["latest_version"], made["Location"].endswith(f"/{made.data['id']}/")) == (1, True)
    started = acme_api.post(f"{PIPELINES}{made.data['id']}/runs/", {}, format="json")
    assert started.status_code == 202, started.data
    assert (started.data["state"], started.data["version"], started.data["entities"]["total"]) == ("waiting", 1, 2)
    job_runner.run(started.data["job"])
    run = acme_api.get(started["Location"]).data
    assert (run["state"], run["error"]) == ("partial", None)
    assert run["entities"] == {"total": 2, "completed": 1, "error": 1, "cancelled": 0}
    page = acme_api.get(f"{started['Location']}entities/").data["results"]
    assert [(entity["name"], entity["state"], entity["chunks_done"]) for entity in page] == [
        ("a.txt", "completed", 1),
        ("bad.txt", "error", 0),
    ]
    assert page[1]["error"]["code"] == "file_without_text"
    failed = acme_api.get(f"{started['Location']}entities/", {"state": "error"}).data["results"]
    assert [entity["name"] for entity in failed] == ["bad.txt"]
    with tenant_context(dataset.tenant_id):
        assert str(Document.objects.get().pk) == page[0]["document"]
    retried = acme_api.post(f"/api/v1/entities/{page[1]['id']}/retry/", {"reason": "again"}, format="json")
    assert (retried.status_code, retried.data["state"]) == (202, "waiting")
    assert retried.data["job"] != run["job"]
    again = acme_api.post(f"/api/v1/entities/{page[1]['id']}/retry/", {}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "invalid_transition")
    listed = acme_api.get("/api/v1/pipeline-runs/", {"pipeline": made.data["id"], "state": "running"}).data["results"]
    assert [row["id"] for row in listed] == [run["id"]]


def test_entities_are_paged_in_the_order_of_their_sources(acme_api: APIClient, dataset: Dataset) -> None:
    made = make(acme_api, definition=definition(*(text(f"{number}.txt", "x") for number in range(5))))
    run = acme_api.post(f"{PIPELINES}{made.data['id']}/runs/", {}, format="json")
    url, names = f"{run['Location']}entities/?limit=2", []
    while url:
        page = acme_api.get(url).data
        names += [entity["name"] for entity in page["results"]]
        url = page["next"]
    assert names == [f"{number}.txt" for number in range(5)]


def test_definition_faults_are_returned_with_their_location(acme_api: APIClient, dataset: Dataset) -> None:
    answer = make(acme_api, definition=definition(split={"chunk_size": 3}))
    assert (answer.status_code, answer.json()["code"]) == (422, "definition_invalid")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/nodes/3/config/chunk_size"]
    unknown = make(acme_api, definition=definition(dataset="nowhere"))
    assert unknown.json()["errors"] == [
        {"pointer": "/nodes/5/config/dataset", "code": "not_found", "detail": "There is no such dataset."}
    ]
    assert acme_api.get(PIPELINES).data["results"] == []


def test_source_faults_of_a_run_are_returned_with_their_location(acme_api: APIClient, dataset: Dataset) -> None:
    made = make(acme_api, definition=definition())
    runs = f"{PIPELINES}{made.data['id']}/runs/"
    missing = acme_api.post(runs, {}, format="json")
    assert (missing.status_code, missing.json()["code"]) == (422, "sources_missing")
    wrong = acme_api.post(runs, {"sources": [{"type": "url", "url": "http://127.1/"}]}, format="json")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "sources_invalid")
    assert wrong.json()["errors"][0]["pointer"] == "/sources/0/url"
    for odd in (5, "text", {"type": "text"}, [5]):
        assert acme_api.post(runs, {"sources": odd}, format="json").json()["code"] == "sources_invalid"
    unknown = acme_api.post(runs, {"version": 7, "sources": [text("a.txt", "x")]}, format="json")
    assert unknown.status_code == 404


def test_versions_are_saved_listed_and_kept(acme_api: APIClient, dataset: Dataset) -> None:
    made = make(acme_api)
    versions = f"{PIPELINES}{made.data['id']}/versions/"
    body = {"definition": definition(text("b.txt", "Two.")), "note": "another text", "expected_version": 1}
    saved = acme_api.post(versions, body, format="json")
    assert (saved.status_code, saved.data["number"], saved.data["note"]) == (201, 2, "another text")
    stale = acme_api.post(versions, body, format="json")
    assert (stale.status_code, stale.json()["code"]) == (409, "pipeline_changed")
    listed = acme_api.get(versions).data["results"]
    assert [(row["number"], "definition" in row) for row in listed] == [(2, False), (1, False)]
    first = acme_api.get(f"{versions}1/").data
    assert first["definition"]["nodes"][0]["config"]["sources"] == [text("a.txt", "One.")]
    assert acme_api.get(f"{versions}3/").status_code == 404


def test_saved_version_cannot_be_changed(acme: Tenant, acme_api: APIClient, dataset: Dataset) -> None:
    make(acme_api)
    with pytest.raises(ProgrammingError, match="permission denied"), tenant_context(acme):
        PipelineVersion.objects.update(note="changed")


def test_pipeline_change_needs_the_current_edition(acme_api: APIClient, dataset: Dataset) -> None:
    made = make(acme_api)
    url = f"{PIPELINES}{made.data['id']}/"
    tag = acme_api.get(url)["ETag"]
    assert made["ETag"] == tag
    assert acme_api.patch(url, {"name": "pages"}, format="json", headers={"If-Match": tag}).status_code == 200
    assert acme_api.patch(url, {"name": "x"}, format="json", headers={"If-Match": tag}).status_code == 412
    make(acme_api, name="taken")
    taken = acme_api.patch(url, {"name": "taken"}, format="json")
    assert (taken.status_code, taken.json()["code"]) == (409, "pipeline_name_taken")


def test_pipeline_is_deleted_once_nothing_of_it_runs(
    acme_api: APIClient, dataset: Dataset, job_runner: JobRunner
) -> None:
    made = make(acme_api)
    url = f"{PIPELINES}{made.data['id']}/"
    run = acme_api.post(f"{url}runs/", {}, format="json")
    busy = acme_api.delete(url)
    assert (busy.status_code, busy.json()["code"]) == (409, "pipeline_in_use")
    job_runner.run(run.data["job"])
    assert acme_api.delete(url).status_code == 204
    assert acme_api.get(run["Location"]).status_code == 404
    with tenant_context(dataset.tenant_id):
        assert Document.objects.count() == 1


def test_schema_is_published(acme_api: APIClient) -> None:
    schema = acme_api.get(f"{PIPELINES}definition-schema/").data
    assert (schema["title"], schema["required"]) == ("Pipeline", ["nodes"])
