"""Files in the API and the console: upload, list, download by a link, delete, isolation between tenants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import Client
from rest_framework.test import APIClient

from tenants.context import tenant_context
from tenants.exceptions import SpaceExceededError
from tenants.limits.service import set_tenant_limit
from tenants.limits.usage import read_stored
from tenants.models import AuditLogEntry, Tenant
from workloads.files import incoming, links
from workloads.files.limits import STORAGE_BYTES
from workloads.files.models import Content, UploadedFile
from workloads.files.service import upload_files

pytestmark = pytest.mark.django_db

type Commit = Callable[..., Any]
ADDRESS = "/api/v1/files/"


def named(**files: bytes) -> list[SimpleUploadedFile]:
    return [SimpleUploadedFile(name.replace("_", "."), content) for name, content in files.items()]


def post(api: APIClient, **files: bytes) -> Any:
    return api.post(ADDRESS, {"files": named(**files)}, format="multipart")


def used(tenant: Tenant) -> int:
    with tenant_context(tenant):
        return read_stored(tenant.pk, STORAGE_BYTES)


def link_to(api: APIClient, file: UUID | str, **body: Any) -> Any:
    return api.post(f"{ADDRESS}{file}/link/", body, format="json")


def follow(url: str) -> Any:
    """Follow a link without a key; `body` is what was downloaded."""
    parts = urlsplit(url)
    answer: Any = Client().get(f"{parts.path}?{parts.query}")
    answer.body = answer.getvalue()  # also a streamed one, which this closes
    return answer


@pytest.fixture
def file(acme: Tenant) -> UploadedFile:
    return upload_files(tenant=acme, files=named(report_html=b"<script>alert(1)</script>"))[0]


def test_files_are_uploaded_listed_and_shown(acme: Tenant, acme_api: APIClient) -> None:
    answer = post(acme_api, a_txt=b"one", b_pdf=b"two")
    assert answer.status_code == 201
    first, second = answer.json()["files"]
    assert (first["name"], first["content_type"], first["size_bytes"]) == ("a.txt", "text/plain", 3)
    assert second["content_type"] == "application/pdf"
    listed = acme_api.get(ADDRESS).json()["results"]
    assert [row["id"] for row in listed] == [second["id"], first["id"]]
    shown = acme_api.get(f"{ADDRESS}{first['id']}/")
    assert shown.json() == first
    assert shown.headers["ETag"]
    assert used(acme) == 6


def test_same_content_twice_is_two_files_and_one_copy(acme: Tenant, files_root: Path) -> None:
    first, second = upload_files(tenant=acme, files=named(a_txt=b"same", b_txt=b"same"))
    assert first.key == second.key
    assert used(acme) == 4
    assert sum(path.is_file() for path in files_root.rglob("*")) == 1


def test_upload_is_stored_whole_or_not_at_all(acme: Tenant, acme_api: APIClient, files_root: Path) -> None:
    answer = post(acme_api, a_txt=b"one", b_txt=b"")
    assert (answer.status_code, answer.json()["code"]) == (422, "upload_refused")
    assert [(fault["field"], fault["code"]) for fault in answer.json()["errors"]] == [("files.1", "file_empty")]
    assert acme_api.post(ADDRESS, {}, format="multipart").json()["errors"][0]["code"] == "files_missing"
    with tenant_context(acme):
        assert not UploadedFile.objects.exists()
    assert not [path for path in files_root.rglob("*") if path.is_file()]


def test_too_large_file_is_refused(acme_api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "MAX_FILE_BYTES", 3)
    assert post(acme_api, a_txt=b"four").json()["errors"][0]["code"] == "file_too_large"


def test_upload_beyond_the_storage_limit_is_refused(acme: Tenant, acme_api: APIClient) -> None:
    set_tenant_limit(tenant=acme, key="storage_bytes", value=5, reason="test")
    answer = post(acme_api, a_txt=b"one", b_txt=b"more")
    assert (answer.status_code, answer.json()["code"]) == (422, "space_exceeded")
    assert answer.json()["limit"]["key"] == "storage_bytes"
    with pytest.raises(SpaceExceededError):
        upload_files(tenant=acme, files=named(a_txt=b"sixsix"))
    assert used(acme) == 0


def test_deleted_file_removes_its_content_if_unreferenced(
    acme: Tenant, acme_api: APIClient, django_capture_on_commit_callbacks: Commit
) -> None:
    first, second = post(acme_api, a_txt=b"same", b_txt=b"same").json()["files"]
    with tenant_context(acme):
        key = Content.objects.get().key
    for file, is_kept in ((first, True), (second, False)):
        with django_capture_on_commit_callbacks(execute=True):
            assert acme_api.delete(f"{ADDRESS}{file['id']}/").status_code == 204
        assert default_storage.exists(key) is is_kept
    assert used(acme) == 0
    assert acme_api.get(f"{ADDRESS}{first['id']}/").status_code == 404


def test_stale_edition_is_not_deleted(acme_api: APIClient, file: UploadedFile) -> None:
    answer = acme_api.delete(f"{ADDRESS}{file.pk}/", headers={"If-Match": '"of long ago"'})
    assert (answer.status_code, answer.json()["code"]) == (400, "if_match_invalid")
    answer = acme_api.delete(f"{ADDRESS}{file.pk}/", headers={"If-Match": '"0123456789abcdef"'})
    assert (answer.status_code, answer.json()["code"]) == (412, "stale")


def test_link_downloads_the_file_as_an_attachment(acme: Tenant, acme_api: APIClient, file: UploadedFile) -> None:
    link = link_to(acme_api, file.pk).json()
    assert link["url"].startswith("http://testserver/files/download?link=")
    answer = follow(link["url"])
    assert (answer.status_code, answer.body) == (200, b"<script>alert(1)</script>")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="report.html"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    with tenant_context(acme):
        entry = AuditLogEntry.objects.get(action="file.link_made")
    assert (entry.target_id, entry.after["name"]) == (str(file.pk), "report.html")


def test_link_is_valid_for_the_requested_time(
    acme_api: APIClient, file: UploadedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = link_to(acme_api, file.pk, seconds=60).json()
    end = datetime.fromisoformat(link["expires_at"])
    for moment, status in ((end - timedelta(seconds=1), 200), (end, 404)):
        monkeypatch.setattr(links.timezone, "now", lambda moment=moment: moment)
        answer = follow(link["url"])
        assert answer.status_code == status
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("seconds", [9, 86_401, "x", None])
def test_link_beyond_a_day_or_below_a_second_is_refused(acme_api: APIClient, file: UploadedFile, seconds: Any) -> None:
    assert link_to(acme_api, file.pk, seconds=seconds).status_code == 422


def test_link_is_valid_only_for_its_own_tenants_file(acme: Tenant, globex: Tenant, file: UploadedFile) -> None:
    end = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())

    def token(tenant: UUID, salt: str = "files.download") -> str:
        return signing.dumps([tenant.hex, file.pk.hex, end], salt=salt)

    def ask(token: str) -> int:
        return int(follow(f"/files/download?link={token}").status_code)

    assert ask(token(acme.pk)) == 200
    for forged in (token(globex.pk), token(uuid4()), token(acme.pk, salt="another"), token(acme.pk)[:-1], "nothing"):
        assert ask(forged) == 404
    for odd in ([], ["x", "y", 1], [acme.pk.hex, file.pk.hex, "soon"], {"a": 1}, 5):
        assert ask(signing.dumps(odd, salt="files.download")) == 404
    assert Client().get("/files/download").status_code == 404
    assert Client().post("/files/download").status_code == 405


def test_link_to_a_missing_file_is_refused(acme: Tenant, acme_api: APIClient, file: UploadedFile) -> None:
    url = link_to(acme_api, file.pk).json()["url"]
    default_storage.delete(file.key)
    answer = follow(url)
    assert (answer.status_code, answer.json()["code"]) == (503, "file_not_stored")
    acme_api.delete(f"{ADDRESS}{file.pk}/")
    assert follow(url).status_code == 404


def test_link_during_a_database_outage_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(token: str) -> None:
        raise OperationalError("away")

    monkeypatch.setattr("workloads.files.downloads.open_link", away)
    answer = follow("/files/download?link=x")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"]


def test_files_of_another_tenant_are_not_found(globex_api: APIClient, file: UploadedFile) -> None:
    assert globex_api.get(ADDRESS).json()["results"] == []
    address = f"{ADDRESS}{file.pk}/"
    assert globex_api.get(address).status_code == 404
    assert globex_api.delete(address).status_code == 404
    assert link_to(globex_api, file.pk).status_code == 404


def test_console_uploads_downloads_and_deletes(acme: Tenant, acme_user: User) -> None:
    owner_client = Client()
    owner_client.force_login(acme_user)
    page = "/admin/files/uploadedfile/"
    assert owner_client.get(f"{page}upload/").status_code == 200
    refused = owner_client.post(f"{page}upload/", {"files": named(a_txt=b"")})
    assert "The file is empty." in refused.content.decode()
    assert owner_client.post(f"{page}upload/", {"files": named(a_txt=b"one")}).status_code == 302
    with tenant_context(acme):
        file = UploadedFile.objects.get()
    assert "a.txt" in owner_client.get(page).content.decode()
    answer = owner_client.post(f"{page}{file.pk}/act/download/")
    assert follow(answer.headers["Location"]).body == b"one"
    assert owner_client.post(f"{page}{file.pk}/act/delete/", {"reason": "x"}).headers["Location"] == page
    with tenant_context(acme):
        assert not UploadedFile.objects.exists()
