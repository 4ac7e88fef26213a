"""Summaries of documents by a chat model of the tenant: one more chunk, its limits, its cost, and its refusals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from scheduling.consistency.verification import verify
from scheduling.kit.base import Interrupted, TransientError
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tenants.secrets.service import create_secret
from tests.integration.workloads.documents.indexing import conftest
from tests.integration.workloads.documents.indexing.conftest import JobRunner, TestRuntime, upload
from tests.integration.workloads.documents.indexing.test_console import SPLITTING
from tests.integration.workloads.documents.sources.conftest import sealing  # noqa: F401 - a fixture of this file too
from tests.model_server import ModelServer, model_server
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.chunks import service as chunk_service
from workloads.documents.chunks.exceptions import NoNextChunkError
from workloads.documents.chunks.queries import find_chunks, stream_text
from workloads.documents.embedding import LocalEmbedder
from workloads.documents.embedding_models import LOCAL_MODEL
from workloads.documents.indexing import summary
from workloads.documents.indexing.reindexing import reindex_document, replace_document
from workloads.documents.indexing.service import retry_document
from workloads.documents.models import Dataset, Document
from workloads.documents.one_item import steps
from workloads.documents.service import create_dataset, update_dataset
from workloads.documents.split_settings import Chunking
from workloads.model_endpoints.models import ModelEndpoint, UsageDay
from workloads.model_endpoints.service import create_endpoint, update_endpoint

pytestmark = pytest.mark.django_db

NAME = "own/org/writer"
TEXT = " ".join(f"Sentence number {number} says something of its own." for number in range(40)).encode()
SUMMARY = "A zeppelin manual that counts its sentences."
MODEL: Mapping[str, Any] = {"name": "org/writer", "use": "chat", "input_price": Decimal(2), "output_price": Decimal(8)}


@pytest.fixture
def model(change_platform_settings: ChangePlatformSettings) -> Iterator[ModelServer]:
    with model_server(reply=lambda body: SUMMARY) as server:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[server.host])
        yield server


@pytest.fixture
def endpoint(acme: Tenant, sealing: None, model: ModelServer) -> ModelEndpoint:  # noqa: F811 - the imported fixture
    create_secret(tenant=acme, name="api", value="sk-own-key", hosts=["127.0.0.1"])
    return create_endpoint(tenant=acme, name="own", url=model.url, key="{{ secrets.api }}", models=[MODEL])


@pytest.fixture
def dataset(acme: Tenant, endpoint: ModelEndpoint) -> Dataset:
    """Return a dataset with a summary model, whose chunks are small and repeat a part of the one before."""
    return create_dataset(tenant=acme, name="manual", chunk_size=40, chunk_overlap=10, summary_model=NAME)


def change(endpoint: ModelEndpoint, **changes: Any) -> None:
    with tenant_context(endpoint.tenant_id):
        update_endpoint(endpoint_id=endpoint.pk, changes=changes)


def index(dataset: Dataset, job_runner: JobRunner, content: bytes = TEXT, **how: Any) -> tuple[Document, Job]:
    document = upload(dataset, a_txt=content).files[0].document
    job = job_runner.run(document.job_id, **how)
    return read(document), job


def read(document: Document) -> Document:
    with tenant_context(document.tenant_id):
        return Document.objects.get(pk=document.pk)


def chunks_of(document: Document) -> list[Any]:
    with tenant_context(document.tenant_id):
        return list(find_chunks().filter(document_id=document.pk).order_by("order"))


def summaries_of(document: Document) -> list[str]:
    return [chunk.text for chunk in chunks_of(document) if chunk.is_summary]


def again(document: Document, job_runner: JobRunner, **how: Any) -> Document:
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(pk=document.tenant_id)
    with tenant_context(tenant):
        job = reindex_document(tenant=tenant, document_id=document.pk, **how).job_id
    assert job_runner.run(job).state == "completed"
    return read(document)


def usage() -> list[tuple[Any, ...]]:
    with all_tenants():
        days = UsageDay.objects.all()
        return [
            (day.endpoint, day.model, day.requests, day.prompt_tokens > 0, day.completion_tokens, day.cost is not None)
            for day in days
        ]


def act(document: Document, change: Callable[..., Any], **values: Any) -> Any:
    with tenant_context(document.tenant_id):
        return change(**values)


def test_summary_is_the_last_chunk_embedded_and_found_as_such(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner, acme_api: APIClient
) -> None:
    document, job = index(dataset, job_runner)
    *others, last = chunks_of(document)
    assert (job.state, last.text, last.is_summary) == ("completed", SUMMARY, True)
    assert last.location == {"summary": NAME}
    assert not any(chunk.is_summary for chunk in others)
    assert document.chunks_done == document.chunks_total == len(others) + 1 == job.result["chunks"]
    for mode in ("text", "vector"):
        asked = {"query": "zeppelin manual", "mode": mode, "top_k": 1}
        (hit,) = acme_api.post(f"/api/v1/datasets/{dataset.pk}/search/", asked, format="json").json()["results"]
        assert (hit["text"], hit["is_summary"], hit["location"]) == (SUMMARY, True, {"summary": NAME})
    rows = acme_api.get(f"/api/v1/documents/{document.pk}/chunks/?state=summary").json()["results"]
    assert [(row["text"], row["is_summary"]) for row in rows] == [(SUMMARY, True)]
    assert verify().is_clean


def test_request_has_the_beginning_as_data_the_key_and_bounds(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MAX_SUMMARIZED_CHARACTERS", 700)
    index(dataset, job_runner)
    (asked,) = model.asked
    system, user = asked.body["messages"]
    assert (asked.headers["Authorization"], asked.body["model"]) == ("Bearer sk-own-key", "org/writer")
    assert (system, user["role"]) == ({"role": "system", "content": summary.PROMPT}, "user")
    assert user["content"] == TEXT[:700].decode()
    assert asked.body["max_tokens"] == summary.MAX_OUTPUT_TOKENS
    assert asked.body["stream"] is False


def test_usage_and_cost_are_counted_on_the_endpoint(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner
) -> None:
    index(dataset, job_runner)
    assert usage() == [("own", "org/writer", 1, True, len(SUMMARY.split()), True)]


def test_equal_text_is_not_summarized_again_and_another_text_is(
    acme: Tenant, dataset: Dataset, model: ModelServer, job_runner: JobRunner
) -> None:
    document, _ = index(dataset, job_runner)
    with tenant_context(acme):
        update_dataset(dataset=dataset, chunk_size=60)
    renewed = again(document, job_runner)
    assert (summaries_of(renewed), len(model.prompts)) == ([SUMMARY], 1)
    chunk = chunks_of(renewed)[-1]
    act(document, chunk_service.update_chunk, chunk_id=chunk.pk, text="Edited by hand.")
    assert summaries_of(document) == ["Edited by hand."]
    assert summaries_of(again(document, job_runner, discard_edits=True)) == [SUMMARY]
    assert len(model.prompts) == 1
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(pk=acme.pk)
    with tenant_context(acme):
        file = conftest.SimpleUploadedFile("a.txt", b"Another text.")
        job = replace_document(tenant=tenant, document_id=document.pk, file=file).job_id
    assert job_runner.run(job).state == "completed"
    assert model.prompts[1:] == ["Another text."]
    assert verify().is_clean


def test_change_of_the_model_outdates_documents(
    acme: Tenant, dataset: Dataset, endpoint: ModelEndpoint, model: ModelServer, job_runner: JobRunner
) -> None:
    document, _ = index(dataset, job_runner)
    before = dataset.settings_key
    with tenant_context(acme):
        dataset = update_dataset(dataset=dataset, summary_model="")
    assert dataset.settings_key != before == document.settings_key
    renewed = again(document, job_runner)
    assert (summaries_of(renewed), renewed.summary, renewed.summary_key) == ([], "", "")
    assert len(model.prompts) == 1
    assert verify().is_clean


@pytest.mark.parametrize("status", [400, 404])
def test_refusal_completes_the_document_with_a_warning(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner, status: int, acme_api: APIClient
) -> None:
    model.answer_next({"error": {"message": "No such thing"}}, status=status)
    document, job = index(dataset, job_runner)
    assert (job.state, document.status, summaries_of(document)) == ("completed", "completed", [])
    assert document.warnings == [f"It has no summary: The model endpoint answered {status}: No such thing."]
    assert document.chunks_done == document.chunks_total == len(chunks_of(document)) == job.result["chunks"]
    shown = acme_api.get(f"/api/v1/documents/{document.pk}/").json()
    assert shown["warnings"] == document.warnings
    assert (usage(), verify().is_clean) == ([], True)
    assert summaries_of(again(document, job_runner)) == [SUMMARY]
    assert read(document).warnings == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_enabled": False}, "is disabled"),
        ({"models": [{**MODEL, "name": "other"}]}, "does not list"),
        ({"models": [{**MODEL, "tokens_per_month": 3}]}, "this month's limit"),
    ],
)
def test_model_that_cannot_be_called_any_more_is_a_warning(
    dataset: Dataset,
    endpoint: ModelEndpoint,
    model: ModelServer,
    job_runner: JobRunner,
    changes: dict[str, Any],
    words: str,
) -> None:
    change(endpoint, **changes)
    document, job = index(dataset, job_runner)
    assert (job.state, len(document.warnings), model.asked) == ("completed", 1, [])
    assert words in document.warnings[0]


@pytest.mark.parametrize("text", ["", " \u200b ", "<think>It may be long.</think>", "<think>It is"])
def test_answer_without_text_is_a_warning_and_is_counted(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner, text: str
) -> None:
    model.reply = lambda body: text
    document, _ = index(dataset, job_runner)
    assert document.warnings == [f"It has no summary: The model {NAME} returned no text."]
    assert usage()[0][2] == 1


def test_answer_is_cleaned_and_bounded(dataset: Dataset, model: ModelServer, job_runner: JobRunner) -> None:
    model.reply = lambda body: f"<think>Hm.</think>\n\x00Brief\ud800 \u202e text. {'long ' * 2_000}"
    document, _ = index(dataset, job_runner)
    (text,) = summaries_of(document)
    assert text.startswith("Brief text. long long")
    assert len(text) <= summary.MAX_SUMMARY_CHARACTERS


def test_model_that_knows_only_the_newer_option_is_asked_by_it(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner
) -> None:
    fault = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    model.answer_next({"error": {"message": fault, "code": "unsupported_parameter"}}, status=400)
    document, _ = index(dataset, job_runner)
    assert summaries_of(document) == [SUMMARY]
    assert [one.body.get("max_completion_tokens") for one in model.asked] == [None, summary.MAX_OUTPUT_TOKENS]
    assert "max_tokens" not in model.asked[1].body


def test_failure_that_may_pass_retries_only_the_summary(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner
) -> None:
    model.fail_next(503)
    document, job = index(dataset, job_runner)
    assert (job.state, document.status, document.error_code) == ("retryable", "waiting", "model_unavailable")
    stored = [chunk.pk for chunk in chunks_of(document)]
    assert document.chunks_done == len(stored) == (document.chunks_total or 0) - 1
    act(document, retry_document, document_id=document.pk)
    assert job_runner.run(job.pk).state == "completed"
    assert read(document).error_code == ""
    assert [chunk.pk for chunk in chunks_of(document)][:-1] == stored
    assert (summaries_of(document), len(model.asked)) == ([SUMMARY], 2)


@pytest.mark.parametrize("by_endpoint", [True, False])
def test_rate_limit_lets_the_job_wait_without_an_attempt(
    dataset: Dataset, endpoint: ModelEndpoint, model: ModelServer, job_runner: JobRunner, by_endpoint: bool
) -> None:
    if by_endpoint:
        model.fail_next(429, retry_after="7")
    else:
        change(endpoint, requests_per_minute=1)
        index(dataset, job_runner, TEXT + b" more")
    document, job = index(dataset, job_runner)
    assert (job.state, job.attempt, len(model.asked)) == ("scheduled", 0, 1)
    assert document.chunks_done == (document.chunks_total or 0) - 1


def test_wrong_key_counts_against_the_breaker_of_the_model(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[tuple[str, str]] = []
    monkeypatch.setattr(
        TestRuntime,
        "leave_dependency",
        lambda self, dependency, error: left.append((dependency.name, type(error).__name__)),
    )
    model.fail_next(401)
    index(dataset, job_runner)
    assert left == [(NAME, "DependencyRefusedError")]


def test_open_breaker_is_not_called_and_keeps_the_chunks(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: TestRuntime, dependency: Any) -> None:
        raise Interrupted("dependency")

    monkeypatch.setattr(TestRuntime, "enter_dependency", refuse)
    document = upload(dataset, a_txt=TEXT).files[0].document
    with pytest.raises(Interrupted):
        job_runner.run(document.job_id)
    assert (model.asked, len(chunks_of(document))) == ([], read(document).chunks_done)


def test_cancel_ends_a_request_that_is_under_way(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: TestRuntime) -> bool:
        if model.asked:
            raise Interrupted("cancel")
        return False

    model.delay_seconds = 5.0
    monkeypatch.setattr(TestRuntime, "should_yield", stop)
    document = upload(dataset, a_txt=TEXT).files[0].document
    with pytest.raises(Interrupted):
        job_runner.run(document.job_id)
    assert summaries_of(document) == []


def test_answer_is_kept_if_its_embedding_fails(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: LocalEmbedder, texts: Sequence[str]) -> Any:
        if SUMMARY in texts:
            raise TransientError("The encoder is away.", code="away")
        return embed(self, texts)

    embed = LocalEmbedder.embed
    with monkeypatch.context() as patch:
        patch.setattr(LocalEmbedder, "embed", fail)
        document, job = index(dataset, job_runner)
    assert (job.state, document.error_code, document.summary) == ("retryable", "away", SUMMARY)
    act(document, retry_document, document_id=document.pk)
    assert job_runner.run(job.pk).state == "completed"
    assert (summaries_of(document), len(model.asked), usage()[0][2]) == ([SUMMARY], 1, 1)


def test_progress_names_the_summary(dataset: Dataset, model: ModelServer, job_runner: JobRunner) -> None:
    model.fail_next(503)
    _, job = index(dataset, job_runner)
    with all_tenants():
        assert Job.objects.get(pk=job.pk).progress_message == "a.txt: summarizing"


def test_summary_is_neither_merged_nor_part_of_the_text_nor_of_a_parent(
    acme: Tenant, endpoint: ModelEndpoint, model: ModelServer, job_runner: JobRunner, acme_api: APIClient
) -> None:
    dataset = create_dataset(
        tenant=acme, name="parents", chunking=Chunking.PARENT_CHILD, chunk_size=20, parent_size=80, summary_model=NAME
    )
    document, _ = index(dataset, job_runner)
    *_, before, last = chunks_of(document)
    for chunk in (before, last):
        with pytest.raises(NoNextChunkError):
            act(document, chunk_service.merge_chunk, chunk_id=chunk.pk)
    added = act(document, chunk_service.add_chunk, after_id=last.pk, text="Added.")
    first, second = act(document, chunk_service.split_chunk, chunk_id=last.pk, offset=11)
    assert (added.is_summary, first.is_summary, second.is_summary) == (False, True, True)
    act(document, chunk_service.merge_chunk, chunk_id=first.pk)
    with tenant_context(acme):
        text = "".join(stream_text(document, before_page=lambda: None))
    assert "zeppelin" not in text
    assert text.endswith("Added.")
    asked = {"query": "sentence number", "mode": "text", "top_k": 50}
    hits = acme_api.post(f"/api/v1/datasets/{dataset.pk}/search/", asked, format="json").json()["results"]
    assert hits
    assert not any("zeppelin" in hit["text"] for hit in hits)


def test_summary_is_not_folded_into_an_equal_text(
    dataset: Dataset, model: ModelServer, job_runner: JobRunner, acme_api: APIClient
) -> None:
    index(dataset, job_runner, SUMMARY.encode())
    asked = {"query": "zeppelin manual", "mode": "text"}
    hits = acme_api.post(f"/api/v1/datasets/{dataset.pk}/search/", asked, format="json").json()["results"]
    assert sorted(hit["is_summary"] for hit in hits) == [False, True]
    assert not any(hit["duplicates"] for hit in hits)


@pytest.mark.parametrize("name", ["own/none", "none/org/writer", "own/", "own", "platform/x", "own/vectors"])
def test_unknown_chat_model_is_refused_by_name(
    acme: Tenant, endpoint: ModelEndpoint, acme_api: APIClient, name: str
) -> None:
    change(endpoint, models=[MODEL, {"name": "vectors", "use": "embedding", "dimensions": 8}])
    answer = acme_api.post("/api/v1/datasets/", {"name": "x", "summary_model": name}, format="json")
    (fault,) = answer.json()["errors"]
    assert (answer.status_code, answer.json()["code"]) == (422, "summary_model_unknown")
    assert (fault["field"], fault["code"]) == ("summary_model", "summary_model_unknown")
    assert fault["detail"].endswith(f"There are: {NAME}.")


def test_disabled_endpoint_is_refused_and_blocks_no_other_change(
    acme: Tenant, globex_api: APIClient, dataset: Dataset, endpoint: ModelEndpoint, acme_api: APIClient
) -> None:
    change(endpoint, is_enabled=False)
    url = f"/api/v1/datasets/{dataset.pk}/"
    assert acme_api.patch(url, {"summary_model": NAME}, format="json").json()["code"] == "summary_model_unknown"
    assert acme_api.patch(url, {"description": "New."}, format="json").json()["summary_model"] == NAME
    assert acme_api.patch(url, {"summary_model": ""}, format="json").json()["summary_model"] == ""
    change(endpoint, is_enabled=True)
    other = globex_api.post("/api/v1/datasets/", {"name": "x", "summary_model": NAME}, format="json")
    assert (other.status_code, NAME in other.json()["errors"][0]["detail"].split("There are:")[1]) == (422, False)


def test_member_chooses_the_model_in_the_console(
    acme_user: User, dataset: Dataset, endpoint: ModelEndpoint, job_runner: JobRunner
) -> None:
    member = Client()
    member.force_login(acme_user)
    index(dataset, job_runner)
    page = f"/admin/retrieval/dataset/{dataset.pk}/change/"
    values = {"name": "manual", "description": "", "max_ocr_pages": 0, **SPLITTING}
    # The page of a dataset keeps a model that cannot be chosen any more.
    change(endpoint, is_enabled=False)
    assert re.search(rf'<option value="{NAME}" selected', member.get(page).content.decode())
    assert member.post(page, {**values, "summary_model": NAME}).status_code == 302
    assert member.post(page, {**values, "summary_model": ""}).status_code == 302
    with tenant_context(dataset.tenant_id):
        assert Dataset.objects.get().summary_model == ""
    assert NAME not in member.get(page).content.decode()
    refused = member.post(page, {**values, "summary_model": NAME})
    assert "No enabled endpoint has the chat model" in refused.content.decode()
    chunks = member.get("/admin/retrieval/chunk/?state=summary").content.decode()
    assert "zeppelin" in chunks
    found = member.get(f"/admin/retrieval/dataset/{dataset.pk}/search/?query=zeppelin&mode=text&top_k=1")
    assert f"summary by {NAME}" in found.content.decode()


def test_dataset_without_a_model_is_indexed_as_before(acme: Tenant, model: ModelServer, job_runner: JobRunner) -> None:
    dataset = create_dataset(tenant=acme, name="plain")
    assert dataset.embedding_model == LOCAL_MODEL.name
    document, _ = index(dataset, job_runner)
    assert (summaries_of(document), model.asked, document.warnings) == ([], [], [])
