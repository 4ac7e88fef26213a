"""Upkeep of files: unreferenced files are removed, and an interrupted run continues at its folder."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage
from django.utils import timezone

from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants, tenant_context
from tenants.limits.usage import read_stored
from tenants.models import Tenant
from tests.integration.workloads.files.conftest import refer
from workloads.documents.models import Dataset
from workloads.files.limits import STORAGE_BYTES
from workloads.files.models import Content
from workloads.files.store import storage_key, store_bytes

pytestmark = pytest.mark.django_db


def store_orphan(tenant: Tenant, text: str, *, hours_old: float = 48) -> str:
    """Store a file of so many hours ago whose transaction was never committed; return its key."""
    key = storage_key(tenant.pk, sha256(text.encode()).hexdigest())
    default_storage.save(key, ContentFile(text.encode()))
    then = time.time() - hours_old * 3_600
    os.utime(default_storage.path(key), (then, then))
    return key


def end_hold(*keys: str) -> None:
    """End the hour in which new content may still get a reference."""
    with all_tenants():
        assert Content.objects.filter(key__in=keys).update(held_until=timezone.now()) == len(keys)


def test_files_without_a_content_row_are_removed_after_a_day(acme: Tenant, globex: Tenant) -> None:
    used = store_bytes(acme.pk, b"used").key
    os.utime(default_storage.path(used), (0, 0))
    young = store_orphan(acme, "young", hours_old=23)
    # The same content of another tenant is another file.
    orphans = [store_orphan(acme, "orphan"), store_orphan(globex, "used")]
    run = run_upkeep(name="orphan_files")
    assert (run.outcome, run.counts["files_removed"]) == ("ok", 2)
    assert [default_storage.exists(key) for key in (used, young, *orphans)] == [True, True, False, False]
    assert run_upkeep(name="orphan_files").counts["files_removed"] == 0


def test_unreferenced_contents_are_removed_after_their_hold(acme: Tenant, globex: Tenant, dataset: Dataset) -> None:
    used, held, unused = (store_bytes(acme.pk, data).key for data in (b"used", b"held", b"unused"))
    others = store_bytes(globex.pk, b"used").key
    refer(dataset, used)
    end_hold(used, unused, others)
    run = run_upkeep(name="unused_files", batch_rows=1)
    assert (run.outcome, run.counts["files_removed"]) == ("ok", 2)
    assert [default_storage.exists(key) for key in (used, held, unused, others)] == [True, True, False, False]
    with tenant_context(acme):
        assert read_stored(acme.pk, STORAGE_BYTES) == len(b"used") + len(b"held")


def test_interrupted_run_continues_at_its_folder(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [store_orphan(acme, str(number)) for number in range(12)]
    folders = len({key.rsplit("/", 1)[0] for key in keys})
    swept: list[str] = []
    listdir = FileSystemStorage.listdir

    def breaks(storage: FileSystemStorage, path: str) -> tuple[list[str], list[str]]:
        if "/" in path:  # the folder of a step, not one of those above it
            swept.append(path)
            if len(swept) == 3:
                raise OSError("the storage went away")
        return listdir(storage, path)

    monkeypatch.setattr(FileSystemStorage, "listdir", breaks)
    assert run_upkeep(name="orphan_files").error == "OSError: the storage went away"
    assert run_upkeep(name="orphan_files").outcome == "ok"
    assert len(swept) == folders + 1
    assert swept.count(swept[2]) == 2
    assert not any(default_storage.exists(key) for key in keys)


def test_content_without_its_file_is_reported_and_kept(acme: Tenant, dataset: Dataset) -> None:
    key = store_bytes(acme.pk, b"lost").key
    refer(dataset, key)
    default_storage.delete(key)
    run = run_upkeep(name="orphan_files")
    assert (run.outcome, run.messages) == ("failed", [f"The file of content {key} is missing."])
    with tenant_context(acme):
        assert Content.objects.filter(key=key).exists()


def test_foreign_folders_in_the_storage_are_kept(files_root: Path) -> None:
    stray = files_root / "lost+found" / "ab" / "file"
    stray.parent.mkdir(parents=True)
    stray.write_text("x")
    os.utime(stray, (0, 0))
    run = run_upkeep(name="orphan_files")
    assert (run.outcome, run.counts["foreign_folders"], stray.exists()) == ("ok", 1, True)


def test_empty_storage_needs_no_work(db: None) -> None:
    assert [run_upkeep(name=name).outcome for name in ("orphan_files", "unused_files")] == ["ok", "ok"]
