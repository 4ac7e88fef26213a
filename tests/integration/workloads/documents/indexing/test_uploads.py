"""Uploads: all or nothing, identified by content, stored once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from scheduling.jobs.cancellation import cancel_job
from scheduling.models import Batch, Job
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.workloads.documents.indexing.conftest import JobRunner, stored_files, upload
from tests.unit.workloads.documents.extraction.makers import make_pdf, make_zip
from workloads.documents.exceptions import BatchTooLargeError
from workloads.documents.indexing import intake
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.service import update_dataset
from workloads.files import incoming
from workloads.files.exceptions import UploadRefusedError

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
type Commit = Callable[..., Any]


def post(client: APIClient, dataset: Dataset, *files: tuple[str, bytes]) -> Any:
    parts = [SimpleUploadedFile(name, content) for name, content in files]
    return client.post(f"/api/v1/datasets/{dataset.pk}/documents/", {"files": parts}, format="multipart")


def counts() -> tuple[int, int, int]:
    with all_tenants():
        return Document.objects.count(), Job.objects.count(), Batch.objects.count()


def test_upload_returns_a_batch_and_a_job_per_document(acme_api: APIClient, dataset: Dataset) -> None:
    response = post(acme_api, dataset, ("公平.txt", "公平".encode()), ("b.pdf", make_pdf("x")))
    assert response.status_code == 202, response.content
    first, second = response.json()["documents"]
    assert (first["name"], first["status"], first["content_type"]) == ("公平.txt", "waiting", "text/plain")
    assert (second["content_type"], second["duplicate_of"], second["error"]) == ("application/pdf", None, None)
    assert first["phases"]["waiting"] is not None
    assert first["phases"]["parsing"] is None
    with all_tenants():
        batch = Batch.objects.get(pk=response.json()["batch"])
        jobs = {str(job.pk): job.payload for job in Job.objects.filter(batch=batch)}
        entry = AuditLogEntry.objects.get(action="documents.uploaded")
    assert (batch.total, batch.kind) == (2, "document_indexing")
    assert jobs == {entry["job"]: {"document_id": entry["id"]} for entry in (first, second)}
    assert entry.after == {"files": 2, "new": 2, "batch": str(batch.pk)}


@pytest.mark.parametrize(
    ("files", "faults"),
    [
        ([("a.txt", b"fine"), ("b.txt", b"")], {"files.1": "file_empty"}),
        ([("a.txt", b"fine"), ("b.png", PNG)], {"files.1": "type_unknown"}),
        ([("a.pdf", PNG), ("b.docx", make_zip(x=b"y"))], {"files.0": "type_unknown", "files.1": "type_unknown"}),
        ([("a.txt", b"x" * 2_001)], {"files.0": "file_too_large"}),
        ([], {"files": "files_missing"}),
    ],
)
def test_one_invalid_file_refuses_the_whole_upload(
    acme_api: APIClient,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    files: list[tuple[str, bytes]],
    faults: dict[str, str],
) -> None:
    monkeypatch.setattr(incoming, "MAX_FILE_BYTES", 2_000)
    response = post(acme_api, dataset, *files)
    problem = response.json()
    assert (response.status_code, response["Content-Type"]) == (422, "application/problem+json")
    assert problem["code"] == "upload_refused"
    assert {fault["field"]: fault["code"] for fault in problem["errors"]} == faults
    assert counts() == (0, 0, 0)
    assert stored_files() == []


def test_more_files_than_the_plan_allows_are_refused(globex_api: APIClient, globex_dataset: Dataset) -> None:
    files = [(f"{number}.txt", f"text {number}".encode()) for number in range(6)]
    response = post(globex_api, globex_dataset, *files)
    assert (response.status_code, response.json()["code"]) == (422, "batch_too_large")
    assert "the plan allows 5" in response.json()["detail"]
    assert post(globex_api, globex_dataset, *files[:5]).status_code == 202


def test_body_that_is_not_multipart_is_refused(acme_api: APIClient, dataset: Dataset) -> None:
    url = f"/api/v1/datasets/{dataset.pk}/documents/"
    assert acme_api.post(url, {"files": []}, format="json").status_code == 415
    broken = acme_api.post(url, b"--x\r\nnonsense", content_type="multipart/form-data; boundary=y")
    assert broken.status_code in {400, 422}


def test_same_content_is_recognised_as_a_duplicate_of_the_first(
    acme_api: APIClient, dataset: Dataset, job_runner: JobRunner
) -> None:
    first = post(acme_api, dataset, ("a.txt", b"The same bytes.")).json()["documents"][0]
    run_only_job(job_runner)
    again = post(acme_api, dataset, ("renamed.txt", b"The same bytes."), ("c.txt", b"Others.")).json()
    duplicate, other = again["documents"]
    assert (duplicate["id"], duplicate["duplicate_of"]) == (first["id"], first["id"])
    assert (duplicate["name"], duplicate["status"]) == ("renamed.txt", "completed")
    assert other["duplicate_of"] is None
    assert counts() == (2, 2, 2)


def test_upload_of_known_files_only_creates_no_batch(acme_api: APIClient, dataset: Dataset) -> None:
    post(acme_api, dataset, ("a.txt", b"x"))
    again = post(acme_api, dataset, ("a.txt", b"x"))
    assert (again.status_code, again.json()["batch"]) == (202, None)
    assert counts() == (1, 1, 1)


def test_same_file_twice_in_one_upload_is_one_document(acme_api: APIClient, dataset: Dataset) -> None:
    first, second = post(acme_api, dataset, ("a.txt", b"x"), ("b.txt", b"x")).json()["documents"]
    assert (first["duplicate_of"], second["duplicate_of"]) == (None, first["id"])
    assert (first["name"], second["name"]) == ("a.txt", "b.txt")
    assert counts() == (1, 1, 1)


def test_same_content_is_indexed_again_for_other_settings_or_datasets(
    acme: Tenant, dataset: Dataset, acme_api: APIClient
) -> None:
    post(acme_api, dataset, ("a.txt", b"x"))
    with tenant_context(acme):
        update_dataset(dataset=dataset, chunk_size=80)
    assert post(acme_api, dataset, ("a.txt", b"x")).json()["documents"][0]["duplicate_of"] is None
    # One copy of the bytes serves both.
    assert len(stored_files()) == 1


def test_content_of_another_tenant_is_not_recognised(
    acme_api: APIClient, globex_api: APIClient, dataset: Dataset, globex_dataset: Dataset
) -> None:
    post(acme_api, dataset, ("a.txt", b"The same bytes."))
    theirs = post(globex_api, globex_dataset, ("a.txt", b"The same bytes.")).json()
    assert theirs["documents"][0]["duplicate_of"] is None
    assert len(stored_files()) == 2
    assert post(globex_api, dataset, ("a.txt", b"x")).status_code == 404


def test_refused_submission_leaves_nothing(acme: Tenant, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: Any) -> Any:
        raise BatchTooLargeError("No room.")

    monkeypatch.setattr(intake, "submit_jobs", refuse)
    with pytest.raises(BatchTooLargeError):
        upload(dataset, a_txt=b"x")
    assert counts() == (0, 0, 0)
    assert stored_files() == []


@pytest.mark.parametrize("name", [" ", "a\u202etxt.exe.txt", "a\u200b.txt", "a\x07.txt"])
def test_invalid_or_hidden_name_is_refused(dataset: Dataset, name: str) -> None:
    with pytest.raises(UploadRefusedError) as caught:
        upload(dataset, **{name: b"x"})
    assert [fault["code"] for fault in caught.value.errors] == ["name_invalid"]


def test_web_upload_removes_hidden_characters_and_folders_from_names(acme_api: APIClient, dataset: Dataset) -> None:
    documents = post(acme_api, dataset, ("a\u202etxt.txt", b"x"), ("..\\..\\etc\\b.txt", b"y")).json()["documents"]
    assert [entry["name"] for entry in documents] == ["atxt.txt", "b.txt"]


def test_deleted_document_removes_its_chunks_job_and_file(
    acme_api: APIClient,
    acme: Tenant,
    dataset: Dataset,
    job_runner: JobRunner,
    django_capture_on_commit_callbacks: Commit,
) -> None:
    indexed, waiting = upload(dataset, a_txt=b"Indexed.", b_txt=b"Waiting.").files
    job_runner.run(indexed.document.job_id)
    for file in (indexed, waiting):
        with django_capture_on_commit_callbacks(execute=True):
            assert acme_api.delete(f"/api/v1/documents/{file.document.pk}/").status_code == 204
    with tenant_context(acme):
        assert not Chunk.objects.exists()
        assert not Document.objects.exists()
        states = {job.pk: job.state for job in Job.objects.all()}
    assert states == {indexed.document.job_id: "completed", waiting.document.job_id: "cancelled"}
    assert stored_files() == []


def test_file_stays_while_another_document_uses_it(
    acme: Tenant,
    dataset: Dataset,
    acme_api: APIClient,
    django_capture_on_commit_callbacks: Commit,
) -> None:
    first = upload(dataset, a_txt=b"x").files[0].document
    with tenant_context(acme):
        update_dataset(dataset=dataset, chunk_size=80)
    second = upload(dataset, a_txt=b"x").files[0].document
    for document, left in ((first, 1), (second, 0)):
        with django_capture_on_commit_callbacks(execute=True):
            acme_api.delete(f"/api/v1/documents/{document.pk}/")
        assert len(stored_files()) == left


def test_document_shows_that_its_job_was_cancelled(acme_api: APIClient, acme: Tenant, dataset: Dataset) -> None:
    document = upload(dataset, a_txt=b"x").files[0].document
    with tenant_context(acme):
        cancel_job(job_id=document.job_id)
    shown = acme_api.get(f"/api/v1/documents/{document.pk}/").json()
    assert (shown["status"], shown["error"]["code"]) == ("error", "cancelled")
    listed = acme_api.get("/api/v1/documents/", {"status": "error"}).json()["results"]
    assert [entry["id"] for entry in listed] == [str(document.pk)]
    retried = acme_api.post(f"/api/v1/documents/{document.pk}/retry/")
    assert (retried.status_code, retried.json()["status"], retried.json()["error"]) == (200, "waiting", None)
    assert retried.json()["job"] != str(document.job_id)


def test_waiting_document_is_paused_and_resumed(acme_api: APIClient, dataset: Dataset, job_runner: JobRunner) -> None:
    document = upload(dataset, a_txt=b"x").files[0].document
    url = f"/api/v1/documents/{document.pk}/"
    assert acme_api.post(url + "pause/").json()["status"] == "paused"
    assert acme_api.post(url + "resume/", {"reason": "go on"}).json()["status"] == "waiting"
    job_runner.run(document.job_id)
    for verb in ("pause", "resume", "retry"):
        refused = acme_api.post(url + f"{verb}/")
        assert (refused.status_code, refused.json()["code"]) == (409, "invalid_transition")


def test_documents_are_listed_by_dataset_batch_and_status(
    acme_api: APIClient, dataset: Dataset, job_runner: JobRunner
) -> None:
    taken = upload(dataset, a_txt=b"x", b_txt=b"y")
    job_runner.run(taken.files[0].document.job_id)
    base = "/api/v1/documents/"
    assert len(acme_api.get(base, {"dataset": dataset.pk, "batch": taken.batch_id}).json()["results"]) == 2
    done = acme_api.get(base, {"status": "completed"}).json()["results"]
    assert [entry["name"] for entry in done] == ["a.txt"]
    assert done[0]["chunks_done"] == done[0]["chunks_total"] == 1
    page = acme_api.get(f"/api/v1/datasets/{dataset.pk}/documents/", {"limit": 1}).json()
    assert (len(page["results"]), page["next"] is None) == (1, False)
    for asked in ({"status": "lost"}, {"dataset": "x"}, {"colour": "red"}):
        assert acme_api.get(base, asked).status_code == 422


def test_documents_of_another_tenant_are_not_found(globex_api: APIClient, dataset: Dataset) -> None:
    document = upload(dataset, a_txt=b"x").files[0].document
    url = f"/api/v1/documents/{document.pk}/"
    assert globex_api.get(url).status_code == 404
    assert globex_api.delete(url).status_code == 404
    for verb in ("retry", "pause", "resume"):
        assert globex_api.post(url + f"{verb}/").status_code == 404
    assert globex_api.get("/api/v1/documents/").json()["results"] == []
    assert globex_api.get(f"/api/v1/datasets/{dataset.pk}/documents/").status_code == 404


def run_only_job(job_runner: JobRunner) -> None:
    with all_tenants():
        job = Job.objects.get()
    job_runner.run(job.pk)
