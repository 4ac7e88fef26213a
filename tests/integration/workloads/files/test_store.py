"""The content store: one copy per tenant, verified on reading, deleted when unreferenced."""

from __future__ import annotations

import io
from itertools import count
from pathlib import Path
from threading import Barrier

import pytest
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from tenants.context import tenant_context
from tenants.exceptions import SpaceExceededError
from tenants.limits.service import set_tenant_limit
from tenants.limits.usage import read_stored
from tenants.models import Tenant
from tests.integration.workloads.files.conftest import refer
from workloads.documents.models import Dataset, Document
from workloads.files import references
from workloads.files.contents import StoredFileError
from workloads.files.limits import STORAGE_BYTES
from workloads.files.models import Content
from workloads.files.references import FileReferencesInvalidError, file_references, used_keys
from workloads.files.service import upload_files
from workloads.files.store import (
    at_once,
    discard_on_commit,
    discard_unused,
    fetch,
    read_bytes,
    storage_key,
    store_bytes,
    write_ahead,
)

pytestmark = pytest.mark.django_db


def used(tenant: Tenant) -> int:
    with tenant_context(tenant):
        return read_stored(tenant.pk, STORAGE_BYTES)


def end_hold(tenant: Tenant) -> None:
    with tenant_context(tenant):
        Content.objects.update(held_until=timezone.now())


def test_same_bytes_are_stored_once_per_tenant(acme: Tenant, globex: Tenant, files_root: Path) -> None:
    first, again = store_bytes(acme.pk, b"some text"), store_bytes(acme.pk, b"some text")
    other = store_bytes(globex.pk, b"some text")
    assert first == again
    assert (first.size_bytes, first.key) == (9, storage_key(acme.pk, first.sha256))
    assert other.key != first.key
    assert other.sha256 == first.sha256
    assert (used(acme), used(globex)) == (9, 9)
    assert sum(path.is_file() for path in files_root.rglob("*")) == 2


def test_file_is_read_back_as_it_was_stored(acme: Tenant) -> None:
    data = bytes(range(256)) * 10_000
    content = store_bytes(acme.pk, data)
    assert read_bytes(content.key, content.sha256) == data
    with fetch(content.key, content.sha256) as copy:
        assert copy.read(3) == data[:3]


def test_altered_or_missing_file_is_not_read(acme: Tenant) -> None:
    content = store_bytes(acme.pk, b"some text")
    Path(default_storage.path(content.key)).write_bytes(b"another")
    with pytest.raises(StoredFileError, match="differs from the uploaded one"):
        fetch(content.key, content.sha256)
    default_storage.delete(content.key)
    with pytest.raises(StoredFileError, match="cannot be read"):
        fetch(content.key, content.sha256)


def test_lost_file_is_written_when_stored_again(acme: Tenant) -> None:
    content = store_bytes(acme.pk, b"some text")
    default_storage.delete(content.key)
    assert store_bytes(acme.pk, b"some text") == content
    assert read_bytes(content.key, content.sha256) == b"some text"
    assert used(acme) == 9


def test_file_whose_writing_was_broken_off_is_written_when_stored_again(acme: Tenant) -> None:
    key = store_bytes(acme.pk, b"some text").key
    Path(default_storage.path(key)).write_bytes(b"some")
    content = store_bytes(acme.pk, b"some text")
    assert read_bytes(key, content.sha256) == b"some text"


def test_writer_ahead_leaves_a_file_that_another_may_write(acme: Tenant) -> None:
    key = store_bytes(acme.pk, b"some text").key
    Path(default_storage.path(key)).write_bytes(b"some")
    write_ahead(acme.pk, io.BytesIO(b"some text"))
    assert Path(default_storage.path(key)).read_bytes() == b"some"


@pytest.mark.parametrize("begun", [b"some", b"some text"])
def test_file_that_another_begins_meanwhile_is_stored_whole(
    acme: Tenant, files_root: Path, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    save, others = default_storage.save, [begun]

    def second(key: str, content: File[bytes]) -> str:
        if others:
            save(key, ContentFile(others.pop()))
        return str(save(key, content))

    monkeypatch.setattr(default_storage, "save", second)
    content = store_bytes(acme.pk, b"some text")
    assert read_bytes(content.key, content.sha256) == b"some text"
    assert sum(path.is_file() for path in files_root.rglob("*")) == 1


def test_store_refuses_content_beyond_the_tenants_limit(acme: Tenant, files_root: Path) -> None:
    set_tenant_limit(tenant=acme, key="storage_bytes", value=10, reason="test")
    kept = store_bytes(acme.pk, b"some text")
    with pytest.raises(SpaceExceededError):
        store_bytes(acme.pk, b"more")
    assert store_bytes(acme.pk, b"some text") == kept
    assert used(acme) == 9
    assert sum(path.is_file() for path in files_root.rglob("*")) == 1


def test_content_of_a_failed_store_is_removed(acme: Tenant, files_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise SpaceExceededError("another upload was faster")

    monkeypatch.setattr("workloads.files.store.change_stored", fail)
    with pytest.raises(SpaceExceededError):
        store_bytes(acme.pk, b"some text")
    with tenant_context(acme):
        assert not Content.objects.exists()
    assert not [path for path in files_root.rglob("*") if path.is_file()]


def test_content_without_references_and_holds_is_deleted(acme: Tenant, dataset: Dataset) -> None:
    key = store_bytes(acme.pk, b"some text").key
    assert not discard_unused(acme.pk, key)
    end_hold(acme)
    first, second = refer(dataset, key), refer(dataset, key)
    for document in (first, second):
        assert not discard_unused(acme.pk, key)
        with tenant_context(acme):
            document.delete()
    assert discard_unused(acme.pk, key)
    assert (used(acme), default_storage.exists(key)) == (0, False)


def test_discarded_content_is_deleted_with_the_commit(
    acme: Tenant, dataset: Dataset, django_capture_on_commit_callbacks: object
) -> None:
    keys = [store_bytes(acme.pk, data).key for data in (b"one", b"two")]
    end_hold(acme)
    refer(dataset, keys[1])
    with django_capture_on_commit_callbacks(execute=True), tenant_context(acme):  # type: ignore[operator]
        discard_on_commit(acme.pk, *keys)
        assert default_storage.exists(keys[0])
    assert [default_storage.exists(key) for key in keys] == [False, True]


def test_file_references_are_declared_by_apps(acme: Tenant, dataset: Dataset) -> None:
    assert (Document, "storage_key") in file_references()
    refer(dataset, key := storage_key(acme.pk, "ab" * 32))
    with tenant_context(acme):
        assert used_keys([key, storage_key(acme.pk, "cd" * 32)]) == {key}


@pytest.mark.parametrize("listed", ["workloads.documents.models:NOTHING", f"{__name__}:WRONG_FIELD"])
def test_invalid_file_references_are_refused(listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.apps import apps

    monkeypatch.setattr(apps.get_app_config("retrieval"), "file_references", listed)
    references.reset()
    try:
        with pytest.raises(FileReferencesInvalidError):
            file_references()
    finally:
        monkeypatch.undo()
        references.reset()


WRONG_FIELD = ((Document, "nothing"),)


def test_eight_files_are_handled_at_once() -> None:
    together = Barrier(8)

    def work(number: int) -> int:
        together.wait(timeout=30)
        return number

    assert at_once(work, range(16)) == list(range(16))


def test_failed_write_leaves_no_file(acme: Tenant, files_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = default_storage.save, count()

    def failing(key: str, content: File[bytes]) -> str:
        if next(calls) == 7:
            raise OSError("the storage went away")
        return str(save(key, content))

    monkeypatch.setattr(default_storage, "save", failing)
    files = [SimpleUploadedFile(f"{size}.txt", b"x" * size) for size in range(1, 20)]
    with pytest.raises(OSError, match="went away"):
        upload_files(tenant=acme, files=files)
    assert not [path for path in files_root.rglob("*") if path.is_file()]
    assert used(acme) == 0
