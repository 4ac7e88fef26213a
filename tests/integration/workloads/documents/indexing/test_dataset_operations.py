"""Operations over a dataset: one job each, in batches, while searches go on."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from scheduling.consistency.verification import verify
from scheduling.exceptions import QuotaExceededError
from scheduling.jobs.cancellation import cancel_job
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.holds.service import place_hold
from tenants.limits.usage import read_stored
from tenants.models import AuditLogEntry, Tenant
from tests.integration.workloads.documents.conftest import add_document
from tests.integration.workloads.documents.indexing.conftest import JobRunner, rescue, upload
from workloads.documents.embedding_models import local_embedder
from workloads.documents.indexing import dataset_processor
from workloads.documents.limits import VECTOR_CHUNKS
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.search import SearchMode, search_dataset
from workloads.documents.space import take_chunks

pytestmark = pytest.mark.django_db
URL = "/api/v1/datasets/"
MANY = 3_000


@pytest.fixture
def library(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Return a dataset of five documents, of which an operation takes two at a time."""
    for number in range(5):
        add_document(dataset, f"{number}.txt", f"A zeppelin number {number}.")
    monkeypatch.setattr(dataset_processor, "BATCH_DOCUMENTS", 2)
    return dataset


@pytest.fixture
def large(dataset: Dataset) -> Dataset:
    """Return a dataset of 3,000 documents with a chunk each."""
    shared = {"tenant_id": dataset.tenant_id, "dataset": dataset}
    vector = local_embedder().embed(["A zeppelin."])[0]
    with tenant_context(dataset.tenant_id):
        documents = Document.objects.bulk_create(
            Document(
                **shared,
                name=f"{number}.txt",
                content_type="text/plain",
                size_bytes=1,
                sha256=f"{number:064}",
                settings_key=dataset.settings_key,
                storage_key="",
                status="completed",
                chunks_done=1,
                chunks_total=1,
                job_id=uuid4(),
                batch_id=uuid4(),
            )
            for number in range(MANY)
        )
        Chunk.objects.bulk_create(
            Chunk(**shared, document=one, position=0, text="A zeppelin.", embedding=vector, search="zeppelin")
            for one in documents
        )
        take_chunks(Document(tenant_id=dataset.tenant_id), MANY)
    return dataset


def found(dataset: Dataset, mode: SearchMode = SearchMode.TEXT) -> int:
    with tenant_context(dataset.tenant_id):
        return len(search_dataset(dataset=dataset, query="zeppelin", top_k=50, mode=mode, is_folded=False))


def documents(dataset: Dataset, **where: Any) -> int:
    with tenant_context(dataset.tenant_id):
        return int(Document.objects.filter(dataset=dataset, **where).count())


def start(api: APIClient, dataset: Dataset, path: str, body: Any) -> UUID:
    answer = api.post(f"{URL}{dataset.pk}/{path}/", body, format="json")
    assert answer.status_code == 202, answer.content
    return UUID(answer.json()["job"])


def start_deletion(api: APIClient, dataset: Dataset) -> UUID:
    answer = api.delete(f"{URL}{dataset.pk}/?with_documents=true")
    assert answer.status_code == 202, answer.content
    return UUID(answer.json()["job"])


def killed(job_runner: JobRunner, job: UUID, *, after: int) -> Job:
    """Run a job until its worker is killed, and give it back; return it as the kill left it."""
    left = job_runner.run(job, stop_after=after)
    rescue(left)
    return left


def test_deleted_dataset_is_not_searched_and_its_rows_follow(
    acme_api: APIClient, acme: Tenant, library: Dataset, job_runner: JobRunner
) -> None:
    url = f"{URL}{library.pk}/"
    assert acme_api.delete(url).json()["code"] == "dataset_in_use"
    job = start_deletion(acme_api, library)
    assert acme_api.get(url).json()["state"] == acme_api.get(URL).json()["results"][0]["state"] == "deleting"
    for path, body in (("search", {"query": "x"}), ("reindex", {}), ("archive", {}), ("documents/from-text", {})):
        refused = acme_api.post(f"{url}{path}/", {"name": "x", "text": "y"} if "text" in path else body, format="json")
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert acme_api.get("/api/v1/documents/").json()["results"] == []
    refused = acme_api.post(URL, {"name": library.name}, format="json")
    assert refused.json()["code"] == "dataset_name_taken"
    assert "being deleted" in refused.json()["detail"]
    assert killed(job_runner, job, after=1).state == "executing"
    assert documents(library) == 3
    assert job_runner.run(job).result == {"operation": "delete", "documents": 5}
    with all_tenants():
        assert (Dataset.every.count(), Document.objects.count(), Chunk.objects.count()) == (0, 0, 0)
        actions = set(AuditLogEntry.objects.filter(target_id=str(library.pk)).values_list("action", flat=True))
    assert actions >= {"dataset.deletion_started", "dataset.deleted"}
    assert acme_api.post(URL, {"name": library.name}, format="json").status_code == 201
    with tenant_context(acme):
        assert read_stored(acme.pk, VECTOR_CHUNKS) == 0
    assert verify().is_clean


def test_withdrawn_deletion_keeps_what_is_left(acme_api: APIClient, library: Dataset, job_runner: JobRunner) -> None:
    job = start_deletion(acme_api, library)
    killed(job_runner, job, after=1)
    assert acme_api.post(f"{URL}{library.pk}/unarchive/", {}, format="json").json()["state"] == "active"
    assert found(library) == 3
    assert job_runner.run(job).state == "discarded"
    assert documents(library) == 3


def test_withdrawal_after_the_last_document_keeps_the_dataset(
    acme_api: APIClient, library: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start_deletion(acme_api, library)
    finish = dataset_processor.finish_deletion

    def withdrawn(payload: Any) -> None:
        acme_api.post(f"{URL}{library.pk}/unarchive/", {}, format="json")
        with pytest.raises(Exception, match="dataset"):
            finish(payload)

    monkeypatch.setattr(dataset_processor, "finish_deletion", withdrawn)
    job_runner.run(job)
    assert acme_api.get(f"{URL}{library.pk}/").json()["state"] == "active"


def test_cancelled_deletion_is_started_again(
    acme_api: APIClient, acme: Tenant, library: Dataset, job_runner: JobRunner
) -> None:
    with tenant_context(acme):
        cancel_job(job_id=start_deletion(acme_api, library), reason="too early")
    assert documents(library) == 5
    job_runner.run(start_deletion(acme_api, library))
    assert acme_api.get(f"{URL}{library.pk}/").status_code == 404


def test_legal_hold_keeps_a_dataset_with_documents(
    acme_api: APIClient, acme: Tenant, library: Dataset, job_runner: JobRunner
) -> None:
    job = start_deletion(acme_api, library)
    place_hold(tenant=acme, reason="court")
    answer = acme_api.delete(f"{URL}{library.pk}/?with_documents=true")
    assert (answer.status_code, answer.json()["code"]) == (409, "legal_hold")
    assert job_runner.run(job).error_type == "legal_hold"
    assert documents(library) == 5


def test_disabled_documents_are_kept_and_not_found(
    acme_api: APIClient, library: Dataset, job_runner: JobRunner
) -> None:
    assert found(library) == found(library, SearchMode.VECTOR) == 5
    assert job_runner.run(start(acme_api, library, "disable-documents", {"all": True})).result["documents"] == 5
    assert found(library) == found(library, SearchMode.VECTOR) == 0
    listed = acme_api.get("/api/v1/documents/?is_enabled=false").json()["results"]
    assert len(listed) == 5
    named = [one["id"] for one in listed[:2]]
    job_runner.run(start(acme_api, library, "enable-documents", {"documents": named}))
    assert found(library) == found(library, SearchMode.VECTOR) == 2
    changed = acme_api.patch(f"/api/v1/documents/{named[0]}/", {"is_enabled": False}, format="json")
    assert changed.json()["is_enabled"] is False
    assert found(library) == found(library, SearchMode.VECTOR) == 1
    with all_tenants():
        assert AuditLogEntry.objects.filter(action="document.disabled", target_id=named[0]).exists()
        assert AuditLogEntry.objects.get(action="dataset.documents_enabled").after["documents"] == 2


def test_disabled_document_is_left_out_of_filtered_searches(
    acme_api: APIClient, library: Dataset, job_runner: JobRunner
) -> None:
    field = {"metadata_fields": [{"name": "year", "type": "number"}]}
    assert acme_api.patch(f"{URL}{library.pk}/", field, format="json").status_code == 200
    for one in acme_api.get("/api/v1/documents/").json()["results"]:
        acme_api.patch(f"/api/v1/documents/{one['id']}/", {"metadata": {"year": 2026}}, format="json")
    body = {"query": "zeppelin", "filter": {"year": 2026}, "mode": "hybrid"}
    search = f"{URL}{library.pk}/search/"
    assert len(acme_api.post(search, body, format="json").json()["results"]) == 5
    acme_api.patch(f"/api/v1/documents/{one['id']}/", {"is_enabled": False}, format="json")
    assert len(acme_api.post(search, body, format="json").json()["results"]) == 4


@pytest.mark.parametrize("body", [{}, {"all": False}, {"documents": []}], ids=["nothing", "not all", "none"])
def test_operation_without_documents_is_refused(acme_api: APIClient, library: Dataset, body: Any) -> None:
    answer = acme_api.post(f"{URL}{library.pk}/disable-documents/", body, format="json")
    assert answer.status_code == 422


def test_document_of_another_dataset_is_refused(acme_api: APIClient, library: Dataset, globex_dataset: Dataset) -> None:
    other = add_document(globex_dataset, "a.txt", "Text.")
    body = {"documents": [str(other.pk)]}
    assert acme_api.post(f"{URL}{library.pk}/disable-documents/", body, format="json").status_code == 422


def test_thousand_named_documents_fit_into_one_operation(
    acme_api: APIClient, large: Dataset, job_runner: JobRunner
) -> None:
    with tenant_context(large.tenant_id):
        named = [str(pk) for pk in Document.objects.order_by("pk").values_list("pk", flat=True)[:1_001]]
    assert acme_api.post(f"{URL}{large.pk}/disable-documents/", {"documents": named}, format="json").status_code == 422
    job_runner.run(start(acme_api, large, "disable-documents", {"documents": named[:1_000]}))
    assert documents(large, is_enabled=False) == 1_000


def test_reindexing_waits_for_room_of_a_limit(
    acme_api: APIClient, library: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(acme_api, library, "reindex", {"all": True})
    sizes = []

    def refuse(tenant_id: UUID, payload: Any, chosen: Any) -> int:
        sizes.append(len(chosen))
        raise QuotaExceededError(retry_after_seconds=7)

    monkeypatch.setattr(dataset_processor, "apply", refuse)
    waiting = job_runner.run(job)
    assert (waiting.state, sizes) == ("scheduled", [2, 1])


def test_operation_of_a_deleted_dataset_is_discarded(
    acme_api: APIClient, library: Dataset, job_runner: JobRunner
) -> None:
    job = start(acme_api, library, "reindex", {"all": True})
    start_deletion(acme_api, library)
    assert job_runner.run(job).state == "discarded"


def test_archived_dataset_is_searched_and_takes_nothing(
    acme_api: APIClient, library: Dataset, job_runner: JobRunner
) -> None:
    url = f"{URL}{library.pk}/"
    job = start(acme_api, library, "reindex", {"all": True})
    assert acme_api.post(f"{url}archive/", {"reason": "old"}, format="json").json()["state"] == "archived"
    assert found(library) == 5
    for path, body in (("documents/from-text/", {"name": "x", "text": "y"}), ("reindex/", {})):
        refused = acme_api.post(f"{url}{path}", body, format="json")
        assert (refused.status_code, refused.json()["code"]) == (409, "dataset_archived")
    assert job_runner.run(job).error_type == "dataset_archived"
    assert acme_api.post(f"{url}unarchive/", {}, format="json").json()["state"] == "active"
    upload(library, x_txt=b"new")


def test_name_of_the_kind_is_refused_to_clients(acme_api: APIClient) -> None:
    body = {"kind": "dataset_operation", "payload": {"dataset_id": str(UUID(int=0)), "operation": "delete", "total": 0}}
    assert acme_api.post("/api/v1/jobs/", body, format="json").json()["code"] == "kind_internal"


def test_batch_ends_with_the_document_that_fills_it(
    acme_api: APIClient, library: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_processor, "BATCH_DOCUMENTS", 5)
    monkeypatch.setattr(dataset_processor, "BATCH_CHUNKS", 3)
    job = start_deletion(acme_api, library)
    killed(job_runner, job, after=1)
    assert documents(library) == 2


def test_execution_ends_after_its_batches_and_goes_on(
    acme_api: APIClient, library: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_processor, "BATCHES", 1)
    job = start(acme_api, library, "disable-documents", {"all": True})
    assert job_runner.run(job).state == "available"
    assert documents(library, is_enabled=False) == 2
    for _ in range(3):
        ended = job_runner.run(job)
    assert (ended.state, documents(library, is_enabled=False)) == ("completed", 5)


def run_bounded(job_runner: JobRunner, job: UUID, *, most: int) -> None:
    """Run the job for all documents; its statements, in four batches, must be fewer than ``most``."""
    with CaptureQueriesContext(connection) as statements:
        assert job_runner.run(job).result["documents"] == MANY
    assert len(statements) < most


class TestLargeDataset:
    """3,000 documents: each transaction and the number of its statements are bounded, and a killed job goes on."""

    def test_documents_are_disabled(self, acme_api: APIClient, large: Dataset, job_runner: JobRunner) -> None:
        job = start(acme_api, large, "disable-documents", {"all": True})
        killed(job_runner, job, after=2)
        assert documents(large, is_enabled=False) == 1_000
        assert found(large) == found(large, SearchMode.VECTOR) == 50
        run_bounded(job_runner, job, most=300)
        assert found(large) == found(large, SearchMode.VECTOR) == documents(large, is_enabled=True) == 0

    def test_documents_are_reindexed(
        self, acme_api: APIClient, acme: Tenant, large: Dataset, job_runner: JobRunner
    ) -> None:
        job = start(acme_api, large, "reindex", {"all": True})
        killed(job_runner, job, after=2)
        assert documents(large, kept_chunks=1) == 1_000
        assert found(large) == found(large, SearchMode.VECTOR) == 50
        run_bounded(job_runner, job, most=600)
        assert found(large) == found(large, SearchMode.VECTOR) == 50
        assert documents(large, status="waiting", kept_chunks=1) == MANY
        with tenant_context(acme):
            assert Job.objects.filter(kind="document_indexing").count() == MANY

    def test_documents_are_deleted(self, acme_api: APIClient, large: Dataset, job_runner: JobRunner) -> None:
        job = start_deletion(acme_api, large)
        killed(job_runner, job, after=2)
        assert documents(large) == 2_000
        run_bounded(job_runner, job, most=300)
        with all_tenants():
            assert (Dataset.every.count(), Document.objects.count(), Chunk.objects.count()) == (0, 0, 0)
