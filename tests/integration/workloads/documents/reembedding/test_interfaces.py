"""The API and the page of re-embedding, its audit entries, and the isolation of tenants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import SettingsRefusedError
from tenants.models import AuditLogEntry, Tenant
from tenants.settings.service import change_settings
from tests.integration.workloads.documents.conftest import add_document
from tests.integration.workloads.documents.reembedding.conftest import (
    TEXTS,
    advance,
    advance_until_moving,
    begin,
    chunks_of,
    finish,
    found,
    reload,
    start,
)
from workloads.documents.exceptions import ReembeddingError
from workloads.documents.models import Dataset, NextVector
from workloads.documents.service import create_dataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(acme: Tenant, api_client: Callable[[Tenant], APIClient]) -> APIClient:
    return api_client(acme)


def url_of(dataset: Dataset) -> str:
    return f"/api/v1/datasets/{dataset.pk}/reembed/"


def test_plan_names_chunks_tokens_price_and_progress(api: APIClient, dataset: Dataset) -> None:
    plan = api.get(url_of(dataset), {"model": "m768"}).json()
    size = sum(len(chunk.text) for chunk in chunks_of(dataset))
    assert plan == {
        "embedding_model": "m8",
        "next_model": "",
        "model": "m768",
        "chunks": 5,
        "chunks_done": 0,
        "estimated_tokens": -(-size // 4),
        "estimated_price": round(-(-size // 4) * 2.5 / 1_000_000, 4),
        "job": None,
    }
    assert api.get(url_of(dataset), {"model": "use-multilingual-3"}).json()["estimated_price"] is None
    started = api.post(url_of(dataset), {"model": "m768", "reason": "better"})
    assert (started.status_code, started.json()["next_model"], started.json()["chunks_done"]) == (202, "m768", 0)
    run = begin(dataset, "m768")
    advance(run)
    assert api.get(url_of(dataset), {"model": "m768"}).json()["chunks_done"] == 2
    finish(run)
    done = api.get(url_of(dataset), {"model": "m768"}).json()
    assert (done["embedding_model"], done["next_model"], done["chunks_done"]) == ("m768", "", 5)
    assert api.get(f"/api/v1/datasets/{dataset.pk}/").json()["embedding_model"] == "m768"


def test_request_submits_one_job_and_has_an_audit_entry(api: APIClient, dataset: Dataset) -> None:
    first = api.post(url_of(dataset), {"model": "m768", "reason": "better"}).json()["job"]
    again = api.post(url_of(dataset), {"model": "m768"}).json()["job"]
    with all_tenants():
        [job] = Job.objects.filter(kind="dataset_embedding")
        entry = AuditLogEntry.objects.filter(action="dataset.reembedded").order_by("id")[0]
    assert first == again == str(job.pk)
    assert entry.before == {"embedding_model": "m8", "next_model": ""}
    assert entry.after == {"embedding_model": "m8", "next_model": "m768"}
    assert entry.reason == "better"


@pytest.mark.parametrize("body", [{}, {"model": ""}, {"model": 7}, {"model": "x" * 201}, {"model": "m8", "more": 1}])
def test_faulty_request_is_422(api: APIClient, dataset: Dataset, body: dict[str, Any]) -> None:
    assert api.post(url_of(dataset), body).status_code == 422
    assert reload(dataset).next_model == ""


def test_unknown_model_is_refused_everywhere(api: APIClient, dataset: Dataset, acme: Tenant) -> None:
    for response in (
        api.post(url_of(dataset), {"model": "none"}),
        api.get(url_of(dataset), {"model": "none"}),
        api.post("/api/v1/datasets/", {"name": "new", "embedding_model": "none"}),
    ):
        assert 400 <= response.status_code < 500, response.content
        assert "use-multilingual-3" in response.content.decode()
    with pytest.raises(SettingsRefusedError):
        change_settings(tenant=acme, values={"retrieval.embedding_model": "none"})


def test_model_in_use_and_one_that_is_moved_are_409(api: APIClient, dataset: Dataset) -> None:
    refused = api.post(url_of(dataset), {"model": "m8"})
    assert (refused.status_code, refused.json()["code"]) == (409, "reembedding_refused")
    start(dataset, "m768")
    run = begin(dataset, "m768")
    advance_until_moving(run)
    assert api.post(url_of(dataset), {"model": "m4000"}).status_code == 409
    # The same model again continues what an ended job has left.
    assert api.post(url_of(dataset), {"model": "m768"}).status_code == 202
    assert finish(run).embedding_model == "m768"
    with pytest.raises(ReembeddingError):
        start(dataset, "m768")


def test_model_of_new_datasets_is_the_tenants_or_the_chosen_one(api: APIClient, dataset: Dataset, acme: Tenant) -> None:
    made = api.post("/api/v1/datasets/", {"name": "platform"}).json()
    assert made["embedding_model"] == "use-multilingual-3"
    change_settings(tenant=acme, values={"retrieval.embedding_model": "m768"})
    assert api.post("/api/v1/datasets/", {"name": "tenant"}).json()["embedding_model"] == "m768"
    chosen = api.post("/api/v1/datasets/", {"name": "chosen", "embedding_model": "m4000"}).json()
    assert chosen["embedding_model"] == "m4000"
    assert api.patch(f"/api/v1/datasets/{dataset.pk}/", {"embedding_model": "m768"}).status_code == 422


def test_re_embedding_of_another_tenants_dataset_is_404(
    globex: Tenant, api_client: Callable[[Tenant], APIClient], dataset: Dataset
) -> None:
    other = api_client(globex)
    assert other.post(url_of(dataset), {"model": "m768"}).status_code == 404
    assert other.get(url_of(dataset), {"model": "m768"}).status_code == 404
    assert reload(dataset).next_model == ""


def test_vectors_of_two_tenants_do_not_touch_each_other(globex: Tenant, dataset: Dataset) -> None:
    theirs = create_dataset(tenant=globex, name="handbook", chunk_size=20, chunk_overlap=0, embedding_model="m8")
    add_document(theirs, "a.txt", *TEXTS)
    start(dataset, "m768")
    start(theirs, "m4000")
    run, their_run = begin(dataset, "m768"), begin(theirs, "m4000")
    advance_until_moving(run)
    advance(their_run)
    with tenant_context(globex):
        assert NextVector.objects.count() == 2
        assert not NextVector.objects.filter(dataset=dataset).exists()
    finish(run)
    assert found(theirs, "bravo")[0] == "bravo"
    finish(their_run)
    for one in (dataset, theirs):
        assert found(one, "bravo")[0] == "bravo"
