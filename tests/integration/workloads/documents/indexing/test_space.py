"""Vector space and file storage: checked before storing, and counted with what is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from scheduling.consistency.verification import verify
from scheduling.models import DeadLetter, Job
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import SpaceExceededError
from tenants.limits.declared import Limit
from tenants.limits.service import set_tenant_limit
from tenants.limits.usage import read_stored
from tenants.models import LimitWarning, Tenant, TenantUsage
from tests.checks import faults_of
from tests.integration.workloads.documents.indexing.conftest import JobRunner, upload
from workloads.documents.indexing.service import delete_document
from workloads.documents.indexing.uploads import upload_documents
from workloads.documents.limits import VECTOR_CHUNKS
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.service import create_dataset, update_dataset
from workloads.files.limits import STORAGE_BYTES

pytestmark = pytest.mark.django_db

type Commit = Callable[..., Any]

LONG = " ".join(f"Sentence number {number} says something of its own." for number in range(60)).encode()


def used(tenant: Tenant, limit: Limit) -> int:
    with tenant_context(tenant):
        return read_stored(tenant.pk, limit)


def chunks_of(tenant: Tenant) -> int:
    with tenant_context(tenant):
        return Chunk.objects.count()


def files_in(root: Path) -> int:
    return sum(path.is_file() for path in root.rglob("*"))


def allow(tenant: Tenant, limit: Limit, value: int) -> None:
    set_tenant_limit(tenant=tenant, key=limit.key, value=value, reason="test")


def test_chunks_and_bytes_are_counted_exactly(acme: Tenant, dataset: Dataset, job_runner: JobRunner) -> None:
    taken = upload(dataset, a_txt=LONG, b_txt=b"short")
    assert used(acme, STORAGE_BYTES) == len(LONG) + len(b"short")
    assert used(acme, VECTOR_CHUNKS) == 0
    for file in taken.files:
        assert job_runner.run(file.document.job_id).state == "completed"
    assert used(acme, VECTOR_CHUNKS) == chunks_of(acme) > 2
    assert faults_of("storage", "space") == []


def test_content_shared_by_two_datasets_counts_once(
    acme: Tenant, dataset: Dataset, django_capture_on_commit_callbacks: Commit
) -> None:
    other = create_dataset(tenant=acme, name="other", chunk_size=40, chunk_overlap=0)
    first, second = upload(dataset, a_txt=LONG), upload(other, a_txt=LONG)
    assert used(acme, STORAGE_BYTES) == len(LONG)
    with django_capture_on_commit_callbacks(execute=True), tenant_context(acme):
        delete_document(document_id=first.files[0].document.pk)
    assert used(acme, STORAGE_BYTES) == len(LONG)
    with django_capture_on_commit_callbacks(execute=True), tenant_context(acme):
        delete_document(document_id=second.files[0].document.pk)
    assert used(acme, STORAGE_BYTES) == 0
    assert faults_of("storage", "space") == []


def test_deletion_releases_chunks_and_bytes(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner, django_capture_on_commit_callbacks: Commit
) -> None:
    file = upload(dataset, a_txt=LONG).files[0]
    job_runner.run(file.document.job_id)
    with django_capture_on_commit_callbacks(execute=True), tenant_context(acme):
        delete_document(document_id=file.document.pk)
    assert (used(acme, VECTOR_CHUNKS), used(acme, STORAGE_BYTES), chunks_of(acme)) == (0, 0, 0)
    assert faults_of("storage", "space") == []


def test_restarted_indexing_counts_once(acme: Tenant, dataset: Dataset, job_runner: JobRunner) -> None:
    file = upload(dataset, a_txt=LONG * 12).files[0]
    job_runner.run(file.document.job_id, stop_after=1)
    with tenant_context(acme):
        before = used(acme, VECTOR_CHUNKS)
        update_dataset(dataset=dataset, chunk_size=100)
        Document.objects.update(passages_digest="other")
        document = Document.objects.get()
        Job.objects.filter(pk=document.job_id).update(state="completed")
    again = upload(dataset, b_txt=LONG * 12)
    job_runner.run(again.files[0].document.job_id)
    with tenant_context(acme):
        totals = sum(Document.objects.values_list("chunks_total", flat=True))
    assert before > 32
    assert used(acme, VECTOR_CHUNKS) == totals
    assert faults_of("storage", "space") == []


def test_upload_beyond_the_storage_is_refused_and_stores_nothing(
    acme: Tenant, dataset: Dataset, acme_api: APIClient, files_root: Path
) -> None:
    upload(dataset, a_txt=b"four")
    allow(acme, STORAGE_BYTES, 10)
    files = [SimpleUploadedFile("b.txt", b"seven b"), SimpleUploadedFile("c.txt", b"c")]
    answer = acme_api.post(f"/api/v1/datasets/{dataset.pk}/documents/", {"files": files}, format="multipart")
    assert answer.status_code == 422
    body = answer.json()
    assert body["code"] == "space_exceeded"
    assert body["limit"] == {
        "key": "storage_bytes",
        "unit": "bytes",
        "allowed": 10,
        "used": 4,
        "left": 6,
        "resets_at": None,
    }
    assert used(acme, STORAGE_BYTES) == 4
    assert files_in(files_root) == 1
    with tenant_context(acme):
        assert (Document.objects.count(), Job.objects.count()) == (1, 1)


def test_storage_can_be_used_exactly_to_its_limit(acme: Tenant, dataset: Dataset) -> None:
    allow(acme, STORAGE_BYTES, 10)
    upload(dataset, a_txt=b"four", b_txt=b"six666")
    with pytest.raises(SpaceExceededError):
        upload(dataset, c_txt=b"1")


def test_failed_upload_leaves_the_counter_unchanged(
    acme: Tenant, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no job")

    monkeypatch.setattr("workloads.documents.indexing.intake.submit_jobs", fail)
    with pytest.raises(RuntimeError):
        upload(dataset, a_txt=b"four")
    assert used(acme, STORAGE_BYTES) == 0


def test_upload_without_room_for_a_chunk_is_refused(
    acme: Tenant, dataset: Dataset, acme_api: APIClient, job_runner: JobRunner
) -> None:
    job_runner.run(upload(dataset, a_txt=LONG).files[0].document.job_id)
    allow(acme, VECTOR_CHUNKS, chunks_of(acme))
    file = SimpleUploadedFile("b.txt", b"more")
    answer = acme_api.post(f"/api/v1/datasets/{dataset.pk}/documents/", {"files": [file]}, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (422, "space_exceeded")
    assert answer.json()["limit"]["key"] == "vector_chunks"
    assert answer.json()["limit"]["left"] == 0


def test_document_with_too_many_chunks_fails_permanently_and_whole(
    acme: Tenant, dataset: Dataset, job_runner: JobRunner
) -> None:
    allow(acme, VECTOR_CHUNKS, 3)
    small = upload(dataset, a_txt=b"short").files[0]
    assert job_runner.run(small.document.job_id).state == "completed"
    large = upload(dataset, b_txt=LONG).files[0]
    assert job_runner.run(large.document.job_id).state == "discarded"
    with tenant_context(acme):
        document = Document.objects.get(pk=large.document.pk)
        assert (document.status, document.error_code) == ("error", "vector_space_exceeded")
        assert "of 3 chunks" in document.error_message
        assert not Chunk.objects.filter(document=document).exists()
        assert DeadLetter.objects.get().error_type == "vector_space_exceeded"
    assert used(acme, VECTOR_CHUNKS) == chunks_of(acme) == 1
    assert faults_of("storage", "space") == []


def test_document_is_indexed_after_the_limit_is_raised(acme: Tenant, dataset: Dataset, job_runner: JobRunner) -> None:
    allow(acme, VECTOR_CHUNKS, 3)
    large = upload(dataset, b_txt=LONG).files[0]
    job_runner.run(large.document.job_id)
    allow(acme, VECTOR_CHUNKS, 1_000)
    with tenant_context(acme):
        from workloads.documents.indexing.service import retry_document

        document = retry_document(document_id=large.document.pk)
    assert job_runner.run(document.job_id).state == "completed"
    assert used(acme, VECTOR_CHUNKS) == chunks_of(acme)


def test_too_many_files_name_the_limit(acme: Tenant, dataset: Dataset, acme_api: APIClient) -> None:
    allow_files = 1
    set_tenant_limit(tenant=acme, key="document_indexing.files_per_batch", value=allow_files, reason="test")
    files = [SimpleUploadedFile("b.txt", b"b"), SimpleUploadedFile("c.txt", b"c")]
    answer = acme_api.post(f"/api/v1/datasets/{dataset.pk}/documents/", {"files": files}, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (422, "batch_too_large")
    limit = answer.json()["limit"]
    assert (limit["key"], limit["allowed"], limit["used"]) == ("document_indexing.files_per_batch", 1, 2)


def test_uploads_are_rated_as_submissions_and_cost_nothing_if_refused(
    acme: Tenant, dataset: Dataset, acme_api: APIClient
) -> None:
    set_tenant_limit(tenant=acme, key="submits_per_minute", value=1, reason="test")
    set_tenant_limit(tenant=acme, key="submit_burst", value=2, reason="test")
    address = f"/api/v1/datasets/{dataset.pk}/documents/"
    files = [SimpleUploadedFile(f"{name}.txt", name.encode()) for name in "abc"]
    answer = acme_api.post(address, {"files": files}, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert answer.headers["Retry-After"]
    two = [SimpleUploadedFile(f"{name}.txt", name.encode()) for name in "ab"]
    assert acme_api.post(address, {"files": two}, format="multipart").status_code == 202


def test_usage_near_the_limit_is_warned_of(acme: Tenant, dataset: Dataset) -> None:
    allow(acme, STORAGE_BYTES, 10)
    upload(dataset, a_txt=b"8 bytes.")
    with tenant_context(acme):
        assert [(row.key, row.percent) for row in LimitWarning.objects.all()] == [("storage_bytes", 80)]


def test_wrong_counters_are_found_and_repaired(acme: Tenant, globex: Tenant, dataset: Dataset) -> None:
    upload(dataset, a_txt=b"four")
    with all_tenants():
        TenantUsage.objects.filter(tenant=acme, key="storage_bytes").update(amount=9)
        TenantUsage.objects.create(tenant=globex, key="vector_chunks", period="1970-01-01", amount=5)
    found = {(fault.tenant_id, fault.subject): str(fault.detail) for fault in faults_of("storage", "space")}
    assert found == {
        (acme.pk, "storage_bytes"): f"Tenant {acme.pk}: the counter storage_bytes is 9, but its contents add up to 4.",
        (
            globex.pk,
            "vector_chunks",
        ): f"Tenant {globex.pk}: the counter vector_chunks is 5, but its documents add up to 0.",
    }
    verify(["storage", "space"], repair=True)
    assert faults_of("storage", "space") == []
    assert used(acme, STORAGE_BYTES) == 4


def test_documents_count_for_their_own_tenant(
    acme: Tenant, globex: Tenant, dataset: Dataset, globex_dataset: Dataset
) -> None:
    upload(globex_dataset, a_txt=b"four")
    assert (used(acme, STORAGE_BYTES), used(globex, STORAGE_BYTES)) == (0, 4)
    with tenant_context(acme):
        assert TenantUsage.objects.count() == 0


def test_upload_by_an_operator_is_not_rated(acme: Tenant, dataset: Dataset) -> None:
    set_tenant_limit(tenant=acme, key="submits_per_minute", value=0, reason="test")
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(pk=acme.pk)
    taken = upload_documents(tenant=tenant, dataset=dataset, files=[SimpleUploadedFile("a.txt", b"a")])
    assert taken.batch_id
