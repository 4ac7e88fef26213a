"""Datasets, documents and chunks in the console."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.documents.indexing.conftest import JobRunner, upload
from workloads.documents.models import Chunk, Dataset, Document

# The settings of splitting that the form of a dataset has.
SPLITTING = {"chunking": "structure", "size_unit": "tokens", "chunk_size": 300, "chunk_overlap": 10, "parent_size": 900}
DATASETS, DOCUMENTS, CHUNKS = "/admin/retrieval/dataset/", "/admin/retrieval/document/", "/admin/retrieval/chunk/"


@pytest.fixture
def member(acme_user: User) -> Client:
    client = Client()
    client.force_login(acme_user)
    return client


@pytest.fixture
def stranger(globex_user: User) -> Client:
    client = Client()
    client.force_login(globex_user)
    return client


@pytest.fixture
def platform(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


def test_member_creates_and_changes_a_dataset(member: Client, acme: Tenant) -> None:
    values = {"name": "手册", "description": "", "max_ocr_pages": 0, **SPLITTING}
    assert member.post(f"{DATASETS}add/", values).status_code == 302
    with tenant_context(acme):
        dataset = Dataset.objects.get()
    assert (dataset.name, dataset.chunk_size) == ("手册", 300)
    page = f"{DATASETS}{dataset.pk}/change/"
    assert member.post(page, {**values, "chunk_size": 100}).status_code == 302
    with tenant_context(acme):
        assert Dataset.objects.get().chunk_size == 100
    answer = member.get(page).content.decode()
    assert f"{DATASETS}{dataset.pk}/search/" in answer
    assert f"{DOCUMENTS}upload/?dataset={dataset.pk}" in answer


def test_staff_must_name_the_tenant_of_a_dataset(platform: Client, acme: Tenant) -> None:
    values = {"name": "x", "description": "", "max_ocr_pages": 0, **SPLITTING, "tenant": acme.pk}
    assert platform.post(f"{DATASETS}add/", values).status_code == 302
    with all_tenants():
        assert Dataset.objects.get().tenant_id == acme.pk


def test_member_uploads_files_and_sees_their_documents(member: Client, dataset: Dataset) -> None:
    assert member.get(f"{DOCUMENTS}upload/", {"dataset": dataset.pk}).status_code == 200
    files = [SimpleUploadedFile("a.txt", b"One."), SimpleUploadedFile("b.md", b"# Two")]
    answer = member.post(f"{DOCUMENTS}upload/", {"dataset": dataset.pk, "files": files})
    assert (answer.status_code, answer["Location"]) == (302, f"{DOCUMENTS}?dataset={dataset.pk}")
    listed = member.get(answer["Location"]).content.decode()
    assert "a.txt" in listed
    assert "2 documents accepted, 0 already in the dataset." in listed


def test_refused_upload_is_explained_on_the_page(member: Client, dataset: Dataset) -> None:
    files = [SimpleUploadedFile("a.txt", b"One."), SimpleUploadedFile("b.txt", b"")]
    answer = member.post(f"{DOCUMENTS}upload/", {"dataset": dataset.pk, "files": files})
    assert "b.txt: The file is empty." in answer.content.decode()
    with all_tenants():
        assert not Job.objects.exists()
    assert "required" in member.post(f"{DOCUMENTS}upload/", {"dataset": dataset.pk}).content.decode()


def test_member_cannot_upload_into_a_foreign_dataset(stranger: Client, dataset: Dataset) -> None:
    answer = stranger.post(
        f"{DOCUMENTS}upload/", {"dataset": dataset.pk, "files": [SimpleUploadedFile("a.txt", b"One.")]}
    )
    assert answer.status_code == 200
    with all_tenants():
        assert not Document.objects.exists()


def test_search_page_shows_hits_only_of_the_own_tenant(
    member: Client, stranger: Client, platform: Client, dataset: Dataset, job_runner: JobRunner
) -> None:
    taken = upload(dataset, queues_txt=b"The dispatcher picks the fairest queue.")
    job_runner.run(taken.files[0].document.job_id)
    url = f"{DATASETS}{dataset.pk}/search/"
    assert member.get(url).status_code == 200
    for client in (member, platform):
        answer = client.get(url, {"query": "fair queue", "mode": "hybrid", "top_k": 3}).content.decode()
        assert "The dispatcher picks the fairest queue." in re.sub("</?mark>", "", answer)
    nothing = member.get(url, {"query": "zeppelin", "mode": "text", "top_k": 3}).content.decode()
    assert "No chunks match" in nothing
    assert stranger.get(url, {"query": "fair queue", "mode": "hybrid", "top_k": 3}).status_code == 404


def test_documents_are_retried_paused_and_deleted_only_by_post(
    member: Client, acme: Tenant, dataset: Dataset, job_runner: JobRunner
) -> None:
    bad = upload(dataset, a_txt=b" \n ").files[0]
    job_runner.run(bad.document.job_id)
    waiting = upload(dataset, b_txt=b"Text.").files[0]
    page = f"{DOCUMENTS}{bad.document.pk}/"
    shown = member.get(f"{page}change/").content.decode()
    assert "file_without_text" in shown
    assert f"/admin/scheduling/job/{bad.document.job_id}/change/" in shown
    for act in ("retry", "pause", "resume", "delete"):
        assert member.get(f"{page}act/{act}/").status_code == 405
    member.post(f"{page}act/retry/", {"reason": "again"})
    member.post(f"{DOCUMENTS}{waiting.document.pk}/act/pause/", {"reason": "later"})
    with tenant_context(acme):
        assert Document.objects.get(pk=bad.document.pk).job_id != bad.document.job_id
        assert Job.objects.get(pk=waiting.document.job_id).state == "suspended"
    assert "b.txt" in member.get(DOCUMENTS, {"status": "paused"}).content.decode()
    member.post(f"{DOCUMENTS}{waiting.document.pk}/act/resume/")
    answer = member.post(f"{DOCUMENTS}{waiting.document.pk}/act/delete/", {"reason": "gone"})
    assert answer["Location"] == DOCUMENTS
    with tenant_context(acme):
        assert not Document.objects.filter(pk=waiting.document.pk).exists()


def test_chunks_are_listed_and_shown(member: Client, acme: Tenant, dataset: Dataset, job_runner: JobRunner) -> None:
    taken = upload(dataset, a_txt=b"The only chunk of this document.")
    job_runner.run(taken.files[0].document.job_id)
    with tenant_context(acme):
        chunk = Chunk.objects.get()
    assert "The only chunk" in member.get(CHUNKS).content.decode()
    page = f"{CHUNKS}{chunk.pk}/change/"
    assert "The only chunk" in member.get(page).content.decode()


def test_empty_dataset_is_deleted_at_once(member: Client, acme: Tenant, dataset: Dataset) -> None:
    assert member.post(f"{DATASETS}{dataset.pk}/act/delete/")["Location"] == DATASETS
    with tenant_context(acme):
        assert not Dataset.every.exists()


def test_deletion_of_a_dataset_is_shown_and_withdrawn(member: Client, acme: Tenant, dataset: Dataset) -> None:
    upload(dataset, a_txt=b"x")
    page = f"{DATASETS}{dataset.pk}/change/"
    assert "Documents: 1, of these disabled: 0." in member.get(page).content.decode()
    job = member.post(f"{DATASETS}{dataset.pk}/act/delete/", {"reason": "old"})["Location"]
    assert job.startswith("/admin/scheduling/job/")
    assert "Being deleted" in member.get(DATASETS).content.decode()
    shown = member.get(page).content.decode()
    assert "act/unarchive/" in shown
    assert "act/disable_documents/" not in shown
    member.post(page, {"name": "zebra", "_save": ""})
    assert "zebra" not in member.get(page).content.decode()
    assert member.get(f"{DATASETS}{dataset.pk}/search/").status_code == 404
    member.post(f"{DATASETS}{dataset.pk}/act/unarchive/")
    assert member.get(f"{DATASETS}{dataset.pk}/search/").status_code == 200


def test_documents_of_a_dataset_are_switched_off(member: Client, acme: Tenant, dataset: Dataset) -> None:
    document = upload(dataset, a_txt=b"x").files[0].document
    job = member.post(f"{DATASETS}{dataset.pk}/act/disable_documents/", {"reason": "old"})["Location"]
    assert job.startswith("/admin/scheduling/job/")
    member.post(f"{DOCUMENTS}{document.pk}/act/disable/", {"reason": "old"})
    assert "a.txt" in member.get(f"{DOCUMENTS}?is_enabled__exact=0").content.decode()
    member.post(f"{DOCUMENTS}{document.pk}/act/enable/")
    member.get(DOCUMENTS)
    assert "a.txt" not in member.get(f"{DOCUMENTS}?is_enabled__exact=0").content.decode()


def test_archived_dataset_takes_no_upload_in_the_console(member: Client, dataset: Dataset) -> None:
    member.post(f"{DATASETS}{dataset.pk}/act/archive/", {"reason": "old"})
    assert "Archived" in member.get(f"{DATASETS}?state__exact=archived").content.decode()
    file = SimpleUploadedFile("a.txt", b"x")
    refused = member.post(f"{DOCUMENTS}upload/", {"dataset": dataset.pk, "files": [file]})
    assert "is archived" in refused.content.decode()
    member.post(f"{DATASETS}{dataset.pk}/act/unarchive/")
    assert member.post(f"{DOCUMENTS}reindex/", {"dataset": dataset.pk})["Location"].startswith("/admin/scheduling/job/")


def test_another_tenant_sees_no_document(stranger: Client, dataset: Dataset) -> None:
    document = upload(dataset, secret_txt=b"x").files[0].document
    assert "secret.txt" not in stranger.get(DOCUMENTS).content.decode()
    assert "handbook" not in stranger.get(DATASETS).content.decode()
    assert stranger.get(f"{DOCUMENTS}{document.pk}/change/").status_code == 404
    assert stranger.post(f"{DOCUMENTS}{document.pk}/act/delete/").status_code == 404
