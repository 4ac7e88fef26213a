"""Preview of chunks: by API and in the console, with hostile input, without storing anything."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

from tenants.context import all_tenants
from tenants.models import AuditLogEntry
from workloads.documents.extraction.errors import SandboxUnavailableError
from workloads.documents.indexing import preview as preview_module
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.one_item import steps
from workloads.files.models import Content

TEXT = "# Leases\n\n" + "A worker claims a job only while its lease lasts. " * 20 + "\n\n## How long?\n\nTen seconds."


def url_of(dataset: Dataset) -> str:
    return f"/api/v1/datasets/{dataset.pk}/preview/"


def preview(api: APIClient, dataset: Dataset, **body: Any) -> Any:
    return api.post(url_of(dataset), body, format="json")


def send_file(api: APIClient, dataset: Dataset, name: str, content: bytes, **fields: Any) -> Any:
    return api.post(url_of(dataset), {"file": SimpleUploadedFile(name, content), **fields}, format="multipart")


@pytest.fixture
def member(acme_user: User) -> Client:
    client = Client()
    client.force_login(acme_user)
    return client


def test_text_has_its_chunks_and_nothing_is_stored(acme_api: APIClient, dataset: Dataset) -> None:
    with all_tenants():
        entries = AuditLogEntry.objects.count()
    answer = preview(acme_api, dataset, text=TEXT, format="markdown")
    assert answer.status_code == 200, answer.json()
    chunks = answer.json()["chunks"]
    assert answer.json()["total"] == len(chunks) > 4
    assert chunks[0]["location"] == {"line": 1, "heading": ["Leases"]}
    assert all(chunk["tokens"] <= 40 and chunk["characters"] == len(chunk["text"]) for chunk in chunks)
    with all_tenants():
        assert not Document.objects.exists()
        assert not Chunk.objects.exists()
        assert not Content.objects.exists()
        assert AuditLogEntry.objects.count() == entries


def test_preview_equals_the_chunks_of_other_settings(acme_api: APIClient, dataset: Dataset) -> None:
    asked = {"chunking": "heading", "size_unit": "characters", "chunk_size": 2_000, "chunk_overlap": 0}
    by_text = preview(acme_api, dataset, text=TEXT, format="markdown", **asked).json()
    by_file = send_file(acme_api, dataset, "a.md", TEXT.encode(), **asked).json()
    assert by_text["chunks"] == by_file["chunks"]
    assert [chunk["location"]["heading"] for chunk in by_text["chunks"]] == [["Leases"], ["Leases", "How long?"]]
    with all_tenants():
        assert Dataset.objects.get().chunking == "structure"


def test_first_fifty_chunks_are_shown(acme_api: APIClient, dataset: Dataset) -> None:
    answer = preview(acme_api, dataset, text="\n\n".join(TEXT for _ in range(20))).json()
    assert len(answer["chunks"]) == 50 < answer["total"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid"),
        ({"text": ""}, 422, "invalid"),
        ({"text": "\u200b"}, 422, "preview_refused"),
        ({"text": 7}, 422, "invalid"),
        ({"text": "a" * 500_001}, 422, "invalid"),
        ({"text": "a", "chunking": "clever"}, 422, "invalid"),
        ({"text": "a", "chunk_size": "40"}, 422, "invalid"),
        ({"text": "a", "chunk_size": 10**30}, 400, "json_invalid"),
        ({"text": "a", "chunk_size": 1_001}, 422, "settings_invalid"),
        ({"text": "a", "chunk_overlap": 21}, 422, "settings_invalid"),
        ({"text": "a", "chunking": "parent_child", "parent_size": 20}, 422, "settings_invalid"),
        ({"text": "a", "name": "b"}, 422, "invalid"),
    ],
)
def test_hostile_text_is_refused(
    acme_api: APIClient, dataset: Dataset, body: dict[str, Any], status: int, code: str
) -> None:
    answer = preview(acme_api, dataset, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.json()


def bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"\0" * 40_000_000)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "fields", "code"),
    [
        ("a.pdf", b"%PDF-1.7 nothing", {}, "file_damaged"),
        ("a.docx", bomb(), {}, "file_too_complex"),
        ("a.txt", b" \n ", {}, "file_without_text"),
        ("a.txt", b"a" * (5 * 1024 * 1024 + 1), {}, "file_too_large"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 90, {}, "type_unknown"),
        ("a.txt", b"", {}, "empty"),
        ("a.txt", b"One.", {"encoding": "utf-9"}, "field_invalid"),
        ("a.txt", b"One.", {"chunk_size": "many"}, "invalid"),
    ],
    ids=["damaged", "bomb", "blank", "large", "picture", "empty", "encoding", "size"],
)
def test_hostile_file_is_refused(
    acme_api: APIClient, dataset: Dataset, name: str, content: bytes, fields: dict[str, str], code: str
) -> None:
    answer = send_file(acme_api, dataset, name, content, **fields)
    assert answer.status_code in {400, 422}, answer.json()
    assert code in {fault["code"] for fault in answer.json()["errors"]}, answer.json()


def test_other_tenants_dataset_is_not_found(globex_api: APIClient, acme_api: APIClient, dataset: Dataset) -> None:
    assert preview(globex_api, dataset, text="a").status_code == 404
    assert acme_api.post(f"/api/v1/datasets/{uuid4()}/preview/", {"text": "a"}, format="json").status_code == 404


def test_late_preview_is_refused(acme_api: APIClient, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview_module, "MAX_SECONDS", -1.0)
    answer = preview(acme_api, dataset, text=TEXT)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "file_too_complex")


def test_preview_beside_others_waits_and_is_refused(
    acme_api: APIClient, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview_module, "_WAIT_SECONDS", 0.0)
    with preview_module._slots, preview_module._slots:
        answer = preview(acme_api, dataset, text=TEXT)
    assert (answer.status_code, answer.json()["code"]) == (503, "preview_busy")
    assert preview(acme_api, dataset, text=TEXT).status_code == 200


def test_host_without_a_sandbox_reads_nothing(
    acme_api: APIClient, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract_file(*_: object, **__: object) -> None:
        raise SandboxUnavailableError(["files"])

    monkeypatch.setattr(steps, "extract_file", extract_file)
    answer = preview(acme_api, dataset, text=TEXT)
    assert (answer.status_code, answer.json()["code"]) == (503, "preview_unavailable")


def test_page_shows_chunks_with_headings_and_listings(member: Client, dataset: Dataset) -> None:
    page = f"/admin/retrieval/document/preview/{dataset.pk}/"
    assert page in member.get(f"/admin/retrieval/dataset/{dataset.pk}/change/").content.decode()
    assert 'name="chunking"' in member.get(page).content.decode()
    settings = {"chunking": "heading", "size_unit": "tokens", "chunk_size": 100, "chunk_overlap": 0, "parent_size": 400}
    text = "# Guide\n\n<script>alert(1)</script> Run **this**:\n\n```\nif x:\n    <y>()\n```\n\n## End\n\nBye."
    answer = member.post(page, {"text": text, **settings})
    shown = answer.content.decode()
    assert answer.status_code == 200
    assert [chunk.heading for chunk in answer.context["preview"].chunks] == ["Guide", "Guide › End"]
    assert '<pre class="console-pre" tabindex="0">if x:\n    &lt;y&gt;()</pre>' in shown
    assert "<script>alert(1)" not in shown
    with all_tenants():
        assert not Document.objects.exists()
        assert Dataset.objects.get().chunking == "structure"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "file"),
        ({"text": "a", "file": SimpleUploadedFile("a.txt", b"b")}, "file"),
        ({"text": "a", "chunk_overlap": 60}, "chunk_overlap"),
        ({"text": "a", "chunk_size": 5}, "chunk_size"),
        ({"text": "a", "chunking": "clever"}, "chunking"),
        ({"file": SimpleUploadedFile("a.pdf", b"%PDF-1.7 nothing")}, "file"),
        ({"file": SimpleUploadedFile("a.txt", b"a"), "encoding": "utf-9"}, "encoding"),
    ],
    ids=["nothing", "both", "overlap", "size", "strategy", "damaged", "encoding"],
)
def test_page_names_the_field_that_is_refused(
    member: Client, dataset: Dataset, values: dict[str, Any], field: str
) -> None:
    settings = {"chunking": "structure", "size_unit": "tokens", "chunk_size": 100, "chunk_overlap": 0}
    page = f"/admin/retrieval/document/preview/{dataset.pk}/"
    answer = member.post(page, {**settings, "parent_size": 400, **values})
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [field], answer.context["form"].errors
    assert answer.context["preview"] is None


def test_page_of_another_tenants_dataset_is_not_found(member: Client, globex_dataset: Dataset) -> None:
    assert member.get(f"/admin/retrieval/document/preview/{globex_dataset.pk}/").status_code == 404
