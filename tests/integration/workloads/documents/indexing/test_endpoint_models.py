"""Datasets embedded by a model of the tenant's own endpoint: its key, limits, and the counts of its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from tenants.context import all_tenants, tenant_context
from tenants.exceptions import SettingsRefusedError
from tenants.models import Tenant
from tenants.secrets.service import create_secret
from tenants.settings.service import change_settings
from tests.integration.workloads.documents.indexing.conftest import JobRunner, upload
from tests.integration.workloads.documents.sources.conftest import sealing  # noqa: F401 - a fixture of this file too
from tests.model_server import ModelServer, model_server
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.embedding_models import find_model, list_models
from workloads.documents.models import Chunk, Dataset
from workloads.documents.service import create_dataset
from workloads.documents.tenant_settings import EMBEDDING_MODEL
from workloads.model_endpoints.models import ModelEndpoint, UsageDay
from workloads.model_endpoints.service import create_endpoint, update_endpoint

NAME = "own/org/vectors@8"
TEXT = b"Queues are lines that wait."


@pytest.fixture
def model(change_platform_settings: ChangePlatformSettings) -> Iterator[ModelServer]:
    with model_server() as server:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[server.host])
        yield server


@pytest.fixture
def dataset(acme: Tenant, sealing: None, model: ModelServer) -> Dataset:  # noqa: F811 - the imported fixture
    """Return a dataset that is embedded by the model org/vectors of acme's endpoint."""
    create_secret(tenant=acme, name="api", value="sk-own-key", hosts=["127.0.0.1"])
    add_endpoint(acme, model, key="{{ secrets.api }}")
    return create_dataset(tenant=acme, name="own", embedding_model=NAME)


def add_endpoint(tenant: Tenant, model: ModelServer, key: str = "") -> ModelEndpoint:
    return create_endpoint(tenant=tenant, name="own", url=model.url, key=key, models=[listed()])


def listed(**values: Any) -> dict[str, Any]:
    return {"name": "org/vectors", "use": "embedding", "dimensions": 8, "input_price": Decimal(2), **values}


def change(tenant: Tenant, model_values: dict[str, Any] | None = None, **changes: Any) -> None:
    with tenant_context(tenant):
        endpoint = ModelEndpoint.objects.get()
        models = [] if model_values is None else [listed(**model_values)]
        update_endpoint(endpoint_id=endpoint.pk, changes={**changes, **({"models": models} if models else {})})


def usage() -> tuple[str, str, int, int, Decimal | None]:
    with all_tenants():
        day = UsageDay.objects.get()
    return day.endpoint, day.model, day.requests, day.prompt_tokens, day.cost


def test_document_is_embedded_by_the_endpoint_and_its_tokens_are_counted(
    acme: Tenant, dataset: Dataset, model: ModelServer, job_runner: JobRunner
) -> None:
    job = job_runner.run(upload(dataset, a_txt=TEXT).files[0].document.job_id)
    assert job.state == "completed"
    with tenant_context(acme):
        assert [len(chunk.embedding) for chunk in Chunk.objects.all()] == [8]
    [asked] = model.asked
    assert (asked.headers["Authorization"], asked.body["model"], asked.body["dimensions"]) == (
        "Bearer sk-own-key",
        "org/vectors",
        8,
    )
    assert usage() == ("own", "org/vectors", 1, 5, Decimal("0.00001"))


def test_query_of_a_search_is_counted(
    dataset: Dataset, model: ModelServer, acme_api: APIClient, job_runner: JobRunner
) -> None:
    job_runner.run(upload(dataset, a_txt=TEXT).files[0].document.job_id)
    answer = acme_api.post(f"/api/v1/datasets/{dataset.pk}/search/", {"query": "lines wait"}, format="json")
    assert [hit["text"] for hit in answer.json()["results"]] == [TEXT.decode()]
    assert usage()[2:4] == (2, 7)


def test_rate_of_the_endpoint_lets_the_next_document_wait_without_an_attempt(
    acme: Tenant, dataset: Dataset, model: ModelServer, job_runner: JobRunner
) -> None:
    change(acme, {"requests_per_minute": 1})
    first, second = (upload(dataset, **{name: TEXT + name.encode()}).files[0].document for name in ("a_txt", "b_txt"))
    assert job_runner.run(first.job_id).state == "completed"
    job = job_runner.run(second.job_id)
    assert (job.state, job.attempt, len(model.asked)) == ("scheduled", 0, 1)


def test_tokens_of_the_month_are_checked_before_a_request(
    acme: Tenant, dataset: Dataset, model: ModelServer, acme_api: APIClient, job_runner: JobRunner
) -> None:
    change(acme, {"tokens_per_month": 3})
    job = job_runner.run(upload(dataset, a_txt=TEXT).files[0].document.job_id)
    assert (job.state, job.error_type, model.asked) == ("discarded", "model_limit_reached", [])
    answer = acme_api.post(f"/api/v1/datasets/{dataset.pk}/search/", {"query": "w" * 40}, format="json")
    assert (answer.status_code, model.asked) == (503, [])
    assert answer.json()["detail"].endswith("Search by text.")


def test_server_that_refuses_dimensions_receives_none(
    acme: Tenant, dataset: Dataset, model: ModelServer, job_runner: JobRunner
) -> None:
    change(acme, {"sends_dimensions": False})
    job = job_runner.run(upload(dataset, a_txt=TEXT).files[0].document.job_id)
    # The server answers with its own number of dimensions, which is another one.
    assert "dimensions" not in model.asked[0].body
    assert (job.state, job.error_type) == ("discarded", "embedding_answer_invalid")


@pytest.mark.parametrize(
    ("values", "changes"), [(None, {"is_enabled": False}), ({"dimensions": 16}, {}), ({"name": "other"}, {})]
)
def test_model_that_was_taken_away_fails_the_job_by_name(
    acme: Tenant, dataset: Dataset, model: ModelServer, job_runner: JobRunner, values: Any, changes: dict[str, Any]
) -> None:
    document = upload(dataset, a_txt=TEXT).files[0].document
    change(acme, values, **changes)
    job = job_runner.run(document.job_id)
    assert (job.state, job.error_type, model.asked) == ("discarded", "embedding_model_mismatch", [])


def test_models_of_endpoints_are_those_of_their_tenant(
    acme: Tenant, globex: Tenant, dataset: Dataset, globex_api: APIClient, acme_api: APIClient
) -> None:
    assert (list(list_models(acme.pk))[-1], list_models(acme.pk)[NAME].price) == (NAME, 2.0)
    assert NAME not in list_models(globex.pk)
    assert find_model(globex.pk, NAME) is None
    refused = globex_api.post("/api/v1/datasets/", {"name": "x", "embedding_model": NAME}, format="json")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "embedding_model")
    assert NAME not in refused.json()["errors"][0]["detail"].split("There are:")[1]
    own = acme_api.post("/api/v1/datasets/", {"name": "x", "embedding_model": "none"}, format="json")
    assert NAME in own.json()["errors"][0]["detail"]


def test_model_of_an_endpoint_can_be_the_default_of_its_tenant(acme: Tenant, globex: Tenant, dataset: Dataset) -> None:
    change_settings(tenant=acme, values={EMBEDDING_MODEL.key: NAME})
    assert create_dataset(tenant=acme, name="x").embedding_model == NAME
    with pytest.raises(SettingsRefusedError, match="There are these embedding models"):
        change_settings(tenant=globex, values={EMBEDDING_MODEL.key: NAME})
