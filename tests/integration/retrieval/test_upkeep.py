"""Files that nobody refers to go after a day, in folders, and a run that was cut off goes on at its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import override_settings

from scheduling.processors.retrieval import upkeep
from scheduling.processors.retrieval.models import Dataset, Document
from scheduling.processors.retrieval.storage import storage_key
from scheduling.services.upkeep.runs import run_upkeep
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.retrieval.conftest import add_document

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files_root(tmp_path: Path) -> Iterator[Path]:
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


def store(tenant: Tenant, text: str, *, hours_old: float = 48) -> str:
    """A stored content of so many hours ago; its key."""
    key = storage_key(tenant.pk, sha256(text.encode()).hexdigest())
    default_storage.save(key, ContentFile(text.encode()))
    then = time.time() - hours_old * 3_600
    os.utime(default_storage.path(key), (then, then))
    return key


def document_with(dataset: Dataset, key: str) -> Document:
    document = add_document(dataset, key[-8:], "some text")
    with tenant_context(dataset.tenant_id):
        Document.objects.filter(pk=document.pk).update(storage_key=key)
    return document


def test_files_without_a_document_go_after_a_day(acme: Tenant, globex: Tenant, dataset: Dataset) -> None:
    used = store(acme, "used")
    document_with(dataset, used)
    young = store(acme, "young", hours_old=23)
    # The same content of another tenant is another file.
    orphans = [store(acme, "orphan"), store(globex, "used")]
    run = run_upkeep(name="orphan_files")
    assert (run.outcome, run.counts["files_removed"]) == ("ok", 2)
    assert [default_storage.exists(key) for key in (used, young, *orphans)] == [True, True, False, False]
    assert run_upkeep(name="orphan_files").counts["files_removed"] == 0


def test_a_run_that_was_cut_off_goes_on_at_its_folder(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [store(acme, str(number)) for number in range(12)]
    folders = len({key.rsplit("/", 1)[0] for key in keys})
    swept: list[str] = []
    sweep = upkeep._sweep_folder

    def breaks(folder: str) -> dict[str, int]:
        swept.append(folder)
        if len(swept) == 3:
            raise OSError("the storage went away")
        return sweep(folder)

    monkeypatch.setattr(upkeep, "_sweep_folder", breaks)
    assert run_upkeep(name="orphan_files").error == "OSError: the storage went away"
    assert run_upkeep(name="orphan_files").outcome == "ok"
    assert len(swept) == folders + 1
    assert swept.count(swept[2]) == 2
    assert not any(default_storage.exists(key) for key in keys)


def test_a_document_without_its_file_is_told_and_stays(acme: Tenant, dataset: Dataset) -> None:
    document = document_with(dataset, storage_key(acme.pk, "ab" * 32))
    run = run_upkeep(name="orphan_files")
    assert (run.outcome, run.findings) == ("failed", [f"Document {document.pk} has no file."])
    with tenant_context(acme):
        assert Document.objects.filter(pk=document.pk).exists()


def test_what_is_not_ours_in_the_storage_is_left_alone(files_root: Path) -> None:
    stray = files_root / "lost+found" / "ab" / "file"
    stray.parent.mkdir(parents=True)
    stray.write_text("x")
    os.utime(stray, (0, 0))
    run = run_upkeep(name="orphan_files")
    assert (run.outcome, run.counts["foreign_folders"], stray.exists()) == ("ok", 1, True)


def test_an_empty_storage_is_nothing_to_do(db: None) -> None:
    assert run_upkeep(name="orphan_files").outcome == "ok"


def test_chunks_are_counted_against_what_their_documents_say(dataset: Dataset, globex_dataset: Dataset) -> None:
    document = add_document(dataset, "a", "one", "two")
    add_document(globex_dataset, "b", "three")
    clean = run_upkeep(name="verify_chunks", batch_rows=1)
    assert (clean.outcome, clean.counts["documents"]) == ("ok", 2)
    with tenant_context(dataset.tenant_id):
        Document.objects.filter(pk=document.pk).update(chunks_done=9)
    run = run_upkeep(name="verify_chunks")
    assert run.outcome == "failed"
    assert run.findings[0].startswith(f"Document {document.pk} says 9 chunks")
