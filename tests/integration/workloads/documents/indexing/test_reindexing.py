"""Renewal of documents: old chunks are searched until the new ones are complete, and none remains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from scheduling.consistency.verification import verify
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.limits.service import set_tenant_limit
from tenants.limits.usage import read_stored
from tenants.models import Tenant
from tests.checks import faults_of
from tests.integration.workloads.documents.indexing.conftest import JobRunner, upload
from workloads.documents.embedding import Embedder
from workloads.documents.embedding_models import local_embedder
from workloads.documents.indexing.dataset_operations import reindex_dataset
from workloads.documents.indexing.reindexing import reindex_document, replace_document
from workloads.documents.indexing.service import delete_document
from workloads.documents.limits import VECTOR_CHUNKS
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.search import SearchMode, search_dataset
from workloads.documents.service import create_dataset, update_dataset

pytestmark = pytest.mark.django_db

type Commit = Callable[..., Any]
LONG = " ".join(f"Sentence number {number} says something of its own." for number in range(120)).encode()
OTHER = " ".join(f"Paragraph {number} tells of quite another thing." for number in range(40)).encode()


@pytest.fixture
def tenant(acme: Tenant) -> Tenant:
    with all_tenants():
        return Tenant.objects.select_related("plan").get(pk=acme.pk)


@pytest.fixture
def document(dataset: Dataset, job_runner: JobRunner) -> Document:
    """Return an indexed document."""
    made = upload(dataset, a_txt=LONG).files[0].document
    assert job_runner.run(made.job_id).state == "completed"
    return read(made)


def read(document: Document) -> Document:
    with tenant_context(document.tenant_id):
        return Document.objects.get(pk=document.pk)


def change_settings(dataset: Dataset, **settings: int) -> None:
    with tenant_context(dataset.tenant_id):
        update_dataset(dataset=Dataset.objects.get(pk=dataset.pk), **settings)


def texts_found(dataset: Dataset, query: str, mode: SearchMode = SearchMode.TEXT) -> list[str]:
    with tenant_context(dataset.tenant_id):
        found = search_dataset(dataset=Dataset.objects.get(pk=dataset.pk), query=query, top_k=50, mode=mode)
    return [hit.chunk.text for hit in found]


def chunks(document: Document, **where: Any) -> int:
    with tenant_context(document.tenant_id):
        return Chunk.objects.filter(document=document, **where).count()


def used(tenant: Tenant) -> int:
    with tenant_context(tenant):
        return read_stored(tenant.pk, VECTOR_CHUNKS)


def reindex(tenant: Tenant, document: Document, **asked: Any) -> Document:
    with tenant_context(tenant):
        return reindex_document(tenant=tenant, document_id=document.pk, **asked)


def is_sound() -> bool:
    return verify().is_clean


def test_old_chunks_are_searched_until_the_new_are_complete(
    tenant: Tenant, dataset: Dataset, document: Document, job_runner: JobRunner
) -> None:
    before, old = texts_found(dataset, "sentence"), document.chunks_done
    change_settings(dataset, chunk_size=30)
    job = reindex(tenant, document).job_id
    assert read(document).kept_chunks == old
    assert texts_found(dataset, "sentence") == before
    assert used(tenant) == old
    job_runner.run(job, stop_after=1)
    assert texts_found(dataset, "sentence") == before
    half = read(document)
    assert 0 < half.chunks_done == chunks(document, is_served=False)
    assert chunks(document, is_served=True) == old
    assert used(tenant) == old + (half.chunks_total or 0)
    assert verify().findings.keys() == set()


def test_new_chunks_replace_the_old_at_once(
    tenant: Tenant, dataset: Dataset, document: Document, job_runner: JobRunner
) -> None:
    before = texts_found(dataset, "sentence")
    change_settings(dataset, chunk_size=30)
    assert job_runner.run(reindex(tenant, document).job_id).state == "completed"
    done = read(document)
    assert (done.status, done.kept_chunks, done.settings_key) == ("completed", 0, dataset_of(document).settings_key)
    assert chunks(document) == chunks(document, is_served=True) == done.chunks_done > document.chunks_done
    assert set(texts_found(dataset, "sentence")).isdisjoint(before)
    assert used(tenant) == done.chunks_done
    assert is_sound()


def dataset_of(document: Document) -> Dataset:
    with tenant_context(document.tenant_id):
        return Dataset.objects.get(pk=document.dataset_id)


def test_interrupted_renewal_continues_and_repeats_nothing(
    tenant: Tenant, dataset: Dataset, document: Document, job_runner: JobRunner
) -> None:
    change_settings(dataset, chunk_size=25)
    job = reindex(tenant, document).job_id
    job_runner.run(job, yield_after=1)
    half = read(document).chunks_done
    assert half > 0
    assert job_runner.run(job).state == "completed"
    done = read(document)
    with tenant_context(tenant):
        positions = list(
            Chunk.objects.filter(document=document).order_by("position").values_list("position", flat=True)
        )
    assert positions == list(range(done.chunks_done))
    assert is_sound()


def test_renewal_without_room_keeps_the_old_chunks(
    tenant: Tenant, dataset: Dataset, document: Document, job_runner: JobRunner
) -> None:
    before = texts_found(dataset, "sentence")
    set_tenant_limit(tenant=tenant, key="vector_chunks", value=document.chunks_done + 1, reason="test")
    change_settings(dataset, chunk_size=25)
    assert job_runner.run(reindex(tenant, document).job_id).state == "discarded"
    failed = read(document)
    assert (failed.status, failed.error_code) == ("error", "vector_space_exceeded")
    assert texts_found(dataset, "sentence") == before
    assert is_sound()
    set_tenant_limit(tenant=tenant, key="vector_chunks", value=10_000, reason="test")
    assert job_runner.run(reindex(tenant, document).job_id).state == "completed"
    assert is_sound()


def test_another_file_replaces_the_old_one(
    tenant: Tenant,
    dataset: Dataset,
    document: Document,
    job_runner: JobRunner,
    acme_api: APIClient,
    django_capture_on_commit_callbacks: Commit,
) -> None:
    address = f"/api/v1/documents/{document.pk}/replace/"
    with django_capture_on_commit_callbacks(execute=True):
        answer = acme_api.post(address, {"file": SimpleUploadedFile("b.txt", OTHER)}, format="multipart")
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert (body["id"], body["name"], body["status"]) == (str(document.pk), "b.txt", "waiting")
    assert body["chunks_serving"] == document.chunks_done
    assert not default_storage.exists(document.storage_key)
    assert texts_found(dataset, "sentence")
    assert not texts_found(dataset, "paragraph")
    job_runner.run(read(document).job_id)
    assert texts_found(dataset, "paragraph")
    assert not texts_found(dataset, "sentence")
    done = acme_api.get(f"/api/v1/documents/{document.pk}/").json()
    assert done["chunks_serving"] == done["chunks_done"] > 0
    assert is_sound()


def test_refused_replacement_changes_nothing(document: Document, acme_api: APIClient) -> None:
    address = f"/api/v1/documents/{document.pk}/replace/"
    for name, content in (("b.exe", b"\x00\x01" * 40), ("b.txt", b"")):
        answer = acme_api.post(address, {"file": SimpleUploadedFile(name, content)}, format="multipart")
        assert answer.status_code in (400, 422)
    assert acme_api.post(address, {}, format="multipart").status_code in (400, 422)
    after = read(document)
    assert (after.sha256, after.job_id, after.status) == (document.sha256, document.job_id, "completed")


def test_replaced_job_is_cancelled_and_changes_nothing_more(
    tenant: Tenant, dataset: Dataset, job_runner: JobRunner
) -> None:
    made = upload(dataset, a_txt=LONG).files[0].document
    job_runner.run(made.job_id, yield_after=1)
    with tenant_context(tenant):
        replace_document(tenant=tenant, document_id=made.pk, file=SimpleUploadedFile("b.txt", OTHER))
        assert Job.objects.get(pk=made.job_id).state == "cancelled"
    assert job_runner.run(read(made).job_id).state == "completed"
    assert set(texts_found(dataset, "sentence")) == set()
    assert is_sound()


def test_replacement_with_the_content_of_another_document_is_refused(
    tenant: Tenant, dataset: Dataset, document: Document, acme_api: APIClient
) -> None:
    upload(dataset, b_txt=OTHER)
    answer = acme_api.post(
        f"/api/v1/documents/{document.pk}/replace/", {"file": SimpleUploadedFile("b.txt", OTHER)}, format="multipart"
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "document_duplicate")
    change_settings(dataset, chunk_size=30)
    upload(dataset, a_txt=LONG)
    answer = acme_api.post(f"/api/v1/documents/{document.pk}/reindex/", {}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "document_duplicate")


def renew(tenant: Tenant, dataset: Dataset, job_runner: JobRunner) -> int:
    """Re-index the outdated documents of a dataset; return how many have new jobs."""
    job = job_runner.run(reindex_dataset(tenant=tenant, dataset_id=dataset.pk).job_id)
    assert job.state == "completed"
    return int(job.result["documents"])


def test_dataset_renews_documents_with_changed_settings(
    tenant: Tenant, dataset: Dataset, job_runner: JobRunner, acme_api: APIClient
) -> None:
    files = [upload(dataset, **{f"{name}_txt": name.encode() + LONG}).files[0].document for name in "abc"]
    for file in files:
        job_runner.run(file.job_id)
    address = f"/api/v1/datasets/{dataset.pk}/reindex/"
    nothing = acme_api.post(address, {}, format="json").json()
    assert (nothing["documents"], job_runner.run(nothing["job"]).state) == (0, "completed")
    change_settings(dataset, chunk_size=30)
    started = acme_api.post(address, {"all": False, "reason": "smaller"}, format="json")
    assert started.status_code == 202
    assert (started.json()["operation"], started.json()["documents"]) == ("reindex", 3)
    job_runner.run(started.json()["job"])
    for file in files:
        assert job_runner.run(read(file).job_id).state == "completed"
    assert {read(file).settings_key for file in files} == {dataset_of(files[0]).settings_key}
    assert acme_api.post(address, {"all": True}, format="json").json()["documents"] == 3
    assert is_sound()


def test_renewal_of_two_equal_documents_indexes_the_first(
    tenant: Tenant, dataset: Dataset, document: Document, job_runner: JobRunner
) -> None:
    change_settings(dataset, chunk_size=30)
    second = upload(dataset, a_txt=LONG).files[0].document
    job_runner.run(second.job_id)
    change_settings(dataset, chunk_size=35)
    renew(tenant, dataset, job_runner)
    assert read(document).job_id != document.job_id
    assert read(second).job_id == second.job_id
    assert reindex_dataset(tenant=tenant, dataset_id=dataset.pk).documents == 0


def test_known_text_of_the_tenant_is_not_embedded_again(
    tenant: Tenant, globex_dataset: Dataset, document: Document, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    embedder = local_embedder()

    class Counting(Embedder):
        dependency = None

        def embed(self, texts: Any) -> Any:
            asked.extend(texts)
            return embedder.embed(texts)

    monkeypatch.setattr("workloads.documents.indexing.processor.embedder_of", lambda *_: Counting())
    with tenant_context(tenant):
        before = {row.position: list(row.embedding) for row in Chunk.objects.filter(document=document)}
    job_runner.run(reindex(tenant, document).job_id)
    assert asked == []
    with tenant_context(tenant):
        after = {row.position: list(row.embedding) for row in Chunk.objects.filter(document=document)}
    assert after == before
    # Vectors of another tenant are not reused.
    job_runner.run(upload(globex_dataset, a_txt=LONG).files[0].document.job_id)
    assert len(asked) == document.chunks_done


def test_deleted_document_leaves_no_vector(
    tenant: Tenant, dataset: Dataset, document: Document, job_runner: JobRunner
) -> None:
    change_settings(dataset, chunk_size=25)
    job_runner.run(reindex(tenant, document).job_id, stop_after=1)
    with tenant_context(tenant):
        delete_document(document_id=document.pk)
        assert not Chunk.objects.exists()
    assert used(tenant) == 0
    assert faults_of("space") == []


def test_planted_chunks_are_found_and_orphans_deleted(
    tenant: Tenant, dataset: Dataset, globex_dataset: Dataset, document: Document, job_runner: JobRunner
) -> None:
    def plant(position: int, **where: Any) -> Chunk:
        with tenant_context(tenant):
            return Chunk.objects.create(
                tenant=tenant,
                document=document,
                position=position,
                text="planted",
                embedding=[1.0] + [0.0] * 511,
                search="",
                **where,
            )

    elsewhere = plant(900, dataset=create_dataset(tenant=tenant, name="another"))
    found = {code: [str(example) for example in finding.examples] for (code, _), finding in verify().findings.items()}
    done = document.chunks_done
    assert found == {
        "orphan_chunk": [str(elsewhere.pk)],
        "document_chunks": [f"Document {document.pk} records {done} chunks but has {done + 1}."],
    }
    assert verify(repair=True).is_clean
    assert verify().is_clean
    plant(901, dataset=dataset, is_served=False)
    found = {code: [str(example) for example in finding.examples] for (code, _), finding in verify().findings.items()}
    assert found == {
        "document_chunks": [
            (
                f"Document {document.pk} records {done} chunks that serve searches but has {done}, "
                "and 0 that do not yet but has 1."
            )
        ]
    }


def test_document_of_another_tenant_cannot_be_renewed(globex_api: APIClient, document: Document) -> None:
    address = f"/api/v1/documents/{document.pk}/"
    assert globex_api.post(f"{address}reindex/", {}, format="json").status_code == 404
    files = {"file": SimpleUploadedFile("b.txt", OTHER)}
    assert globex_api.post(f"{address}replace/", files, format="multipart").status_code == 404
    answer = globex_api.post(f"/api/v1/datasets/{document.dataset_id}/reindex/", {}, format="json")
    assert answer.status_code == 404
    assert globex_api.post(f"/api/v1/datasets/{uuid4()}/reindex/", {}, format="json").status_code == 404
