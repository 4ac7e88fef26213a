"""Vectors of a run: reused within the tenant, and an endpoint with a rate limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from scheduling.jobs.lifecycle import JobState
from scheduling.kit.base import Dependency
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.pipelines.conftest import JobRunner, definition, entities_of, paragraphs, run_of, text
from tests.model_server import model_server
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.embedding import Embedder, EndpointRateLimitedError
from workloads.documents.embedding_models import local_embedder
from workloads.documents.models import Chunk, Dataset
from workloads.documents.service import create_dataset
from workloads.model_endpoints.models import UsageDay
from workloads.model_endpoints.service import create_endpoint
from workloads.pipelines.models import Pipeline
from workloads.pipelines.runs import start_run
from workloads.pipelines.service import create_pipeline

type MakePipeline = Callable[..., Pipeline]
TEXT = text("a.txt", paragraphs(9))


class Endpoint(Embedder):
    """The local model as an endpoint that refuses the first `limited` calls by a rate limit."""

    dependency = Dependency("embeddings", is_shared=True)

    def __init__(self, limited: int = 0) -> None:
        self.limited = limited
        self.calls = 0
        self.texts: list[str] = []
        self._guard = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Any:
        with self._guard:
            self.calls += 1
            if self.calls <= self.limited:
                raise EndpointRateLimitedError("busy", seconds=1)
            self.texts += texts
        return local_embedder().embed(texts)


def use(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint) -> Endpoint:
    monkeypatch.setattr("workloads.pipelines.run_execution.embedder_of", lambda *_: endpoint)
    return endpoint


def run_whole(tenant: Tenant, pipeline: Pipeline, job_runner: JobRunner) -> None:
    run = start_run(tenant=tenant, pipeline_id=pipeline.pk)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    assert run_of(run).shown_state == "completed"


def test_vectors_are_reused_within_the_tenant_only(
    acme: Tenant,
    globex: Tenant,
    globex_dataset: Dataset,
    make_pipeline: MakePipeline,
    job_runner: JobRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = use(monkeypatch, Endpoint())
    run_whole(acme, make_pipeline(TEXT), job_runner)
    assert len(endpoint.texts) == 9
    # Other settings make another document of the same passages.
    run_whole(acme, make_pipeline(TEXT, name="again", clean={"remove_urls": True}), job_runner)
    assert len(endpoint.texts) == 9
    with tenant_context(acme):
        rows = list(Chunk.objects.values_list("text", "embedding"))
    vectors: dict[str, set[tuple[float, ...]]] = {}
    for passage, vector in rows:
        vectors.setdefault(passage, set()).add(tuple(float(number) for number in vector))
    assert (len(rows), {len(found) for found in vectors.values()}) == (18, {1})
    theirs = create_pipeline(tenant=globex, name="theirs", definition=definition(TEXT, dataset=globex_dataset.name))
    run_whole(globex, theirs, job_runner)
    assert len(endpoint.texts) == 18


def test_rate_limit_uses_no_attempt_and_opens_no_shared_breaker(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = use(monkeypatch, Endpoint(limited=1))
    run = start_run(tenant=acme, pipeline_id=make_pipeline(TEXT).pk)
    assert job_runner.run(run.job_id).state == JobState.COMPLETED
    (entity,) = entities_of(run)
    assert (entity.shown_state, entity.attempt) == ("completed", 1)
    assert endpoint.calls == 1 + 3
    assert job_runner.runtimes[-1].answered == [("embeddings", None)] * 4


def test_run_by_a_tenants_endpoint_counts_its_tokens(
    acme: Tenant, make_pipeline: MakePipeline, job_runner: JobRunner, change_platform_settings: ChangePlatformSettings
) -> None:
    with model_server() as server:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[server.host])
        vectors = {"name": "v", "use": "embedding", "dimensions": 8}
        create_endpoint(tenant=acme, name="own", url=server.url, models=[vectors])
        create_dataset(tenant=acme, name="by-endpoint", embedding_model="own/v@8")
        pipeline = make_pipeline(*(text(f"{name}.txt", f"Text {name}.") for name in "abcd"), dataset="by-endpoint")
        run_whole(acme, pipeline, job_runner)
        assert len(server.asked) == 4
    with all_tenants():
        day = UsageDay.objects.get()
    assert (day.requests, day.prompt_tokens) == (4, 8)
