"""Facts about the files of documents: encodings, pages without text, warnings, and the chunks to expect."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

from tenants.context import tenant_context
from tenants.models import Tenant
from tenants.settings.service import change_settings
from tests.integration.workloads.documents.indexing.conftest import JobRunner
from tests.unit.workloads.documents.extraction.makers import make_pdf
from workloads.documents.models import Dataset, Document

RUSSIAN = "Очередь задач."


def post(client: APIClient, dataset: Dataset, name: str, content: bytes, **fields: str) -> Any:
    body = {"files": [SimpleUploadedFile(name, content)], **fields}
    return client.post(f"/api/v1/datasets/{dataset.pk}/documents/", body, format="multipart")


def index(client: APIClient, runner: JobRunner, response: Any) -> dict[str, Any]:
    """Run the job of the only document of an upload, and return the document."""
    assert response.status_code == 202, response.content
    (document,) = response.json()["documents"]
    runner.run(UUID(document["job"]))
    shown: dict[str, Any] = client.get(f"/api/v1/documents/{document['id']}/").json()
    return shown


def test_encoding_of_an_upload_is_used_and_shown(acme_api: APIClient, dataset: Dataset, job_runner: JobRunner) -> None:
    sent = post(acme_api, dataset, "a.txt", RUSSIAN.encode("koi8-r"), encoding="KOI8-R")
    document = index(acme_api, job_runner, sent)
    assert (document["status"], document["encoding"], document["warnings"]) == ("completed", "koi8-r", [])
    assert (document["pages"], document["pages_without_text"]) == (None, 0)
    chunks = acme_api.get(f"/api/v1/documents/{document['id']}/text/")
    assert RUSSIAN in b"".join(chunks.streaming_content if chunks.streaming else [chunks.content]).decode()


def test_unknown_encoding_is_refused_and_nothing_is_stored(acme_api: APIClient, acme: Tenant, dataset: Dataset) -> None:
    refused = post(acme_api, dataset, "a.txt", b"x", encoding="klingon")
    assert refused.status_code == 422
    assert [fault["field"] for fault in refused.json()["errors"]] == ["encoding"]
    with tenant_context(acme):
        assert not Document.objects.exists()


def test_form_of_the_upload_takes_the_encoding(acme_user: User, acme: Tenant, dataset: Dataset) -> None:
    member = Client()
    member.force_login(acme_user)
    values = {"dataset": dataset.pk, "encoding": "klingon", "files": [SimpleUploadedFile("a.txt", b"x")]}
    refused = member.post("/admin/retrieval/document/upload/", values)
    assert refused.status_code == 200
    assert "There is no encoding klingon." in refused.content.decode()
    values = {**values, "encoding": "latin1", "files": [SimpleUploadedFile("a.txt", b"x")]}
    assert member.post("/admin/retrieval/document/upload/", values).status_code == 302
    with tenant_context(acme):
        assert Document.objects.get().given_encoding == "iso8859-1"


def test_guessed_encoding_is_completed_with_warnings(
    acme_user: User, acme_api: APIClient, dataset: Dataset, job_runner: JobRunner
) -> None:
    content = "Le garçon a été très naïf.".encode("latin-1")
    document = index(acme_api, job_runner, post(acme_api, dataset, "a.txt", content))
    assert (document["status"], document["encoding"]) == ("completed", "cp1252")
    assert "is a guess" in document["warnings"][0]
    member = Client()
    member.force_login(acme_user)
    page = member.get(f"/admin/retrieval/document/{document['id']}/change/").content.decode()
    assert "completed with warnings" in page
    assert "is a guess" in page


@pytest.mark.parametrize(("percent", "status"), [(100, "completed"), (50, "completed"), (49, "error")])
def test_pages_without_text_are_a_warning_or_a_refusal(
    acme: Tenant, acme_api: APIClient, dataset: Dataset, job_runner: JobRunner, percent: int, status: str
) -> None:
    change_settings(tenant=acme, values={"document_indexing.max_percent_without_text": percent})
    document = index(acme_api, job_runner, post(acme_api, dataset, "a.pdf", make_pdf("Fair queues", "")))
    assert document["status"] == status
    if status == "error":
        assert document["error"]["code"] == "file_without_text"
    else:
        assert (document["pages"], document["pages_without_text"]) == (2, 1)
        assert "1 of 2 pages have no text" in document["warnings"][0]


def test_file_of_too_many_chunks_is_refused_at_the_upload(acme: Tenant, acme_api: APIClient, dataset: Dataset) -> None:
    change_settings(tenant=acme, values={"document_indexing.max_chunks": 5})
    refused = post(acme_api, dataset, "a.txt", b"The same words. " * 200)
    assert refused.status_code == 422
    assert [fault["code"] for fault in refused.json()["errors"]] == ["too_many_chunks"]
    taken = post(acme_api, dataset, "a.txt", b"The same words. " * 40)
    assert taken.json()["documents"][0]["chunks_estimated"] == 4
