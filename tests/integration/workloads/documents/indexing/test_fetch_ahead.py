"""Files of waiting documents are fetched to the machine before their jobs begin, and jobs read the copies."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from scheduling.dispatch.tick import run_tick
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.workloads.documents.indexing.conftest import upload
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.indexing.ahead import fetch_files_ahead
from workloads.documents.models import Dataset, Document
from workloads.files.cache import file_cache
from workloads.files.store import discard_unused, fetch

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, change_platform_settings: ChangePlatformSettings) -> Path:
    """Return the folder of the machine's copies."""
    folder = tmp_path_factory.mktemp("copies")
    change_platform_settings(FILE_CACHE_DIR=str(folder), FILE_CACHE_MIB=16)
    return folder


def document() -> Document:
    with all_tenants():
        return Document.objects.get()


def tick_pool() -> str:
    """Let a tick count the jobs, and dispatch them if there is a worker; return the name of the pool."""
    with all_tenants():
        ((pool_id, name),) = set(Job.objects.values_list("queue__pool_id", "queue__pool__name"))
    run_tick(pool_id)
    return str(name)


@pytest.mark.parametrize("state", ["available", "dispatched"])
def test_files_of_next_documents_are_fetched_once(
    dataset: Dataset, globex_dataset: Dataset, folder: Path, request: pytest.FixtureRequest, state: str
) -> None:
    if state == "dispatched":
        request.getfixturevalue("worker")
    upload(dataset, a_txt=b"first", b_txt=b"second")
    upload(globex_dataset, a_txt=b"first")
    name = tick_pool()
    with all_tenants():
        assert set(Job.objects.values_list("state", flat=True)) == {state}
        keys = set(Document.objects.values_list("storage_key", flat=True))
    assert fetch_files_ahead("no-such-pool") == (0, 0)
    assert fetch_files_ahead(name) == (3, len(b"firstsecondfirst"))
    kept = file_cache()
    assert kept is not None
    assert all(kept.has(key) for key in keys)
    assert fetch_files_ahead(name) == (0, 0)


def test_copy_is_read_while_the_store_is_away(dataset: Dataset, folder: Path) -> None:
    upload(dataset, a_txt=b"text")
    row = document()
    fetch(row.storage_key, row.sha256).close()
    default_storage.delete(row.storage_key)
    with fetch(row.storage_key, row.sha256) as copy:
        assert copy.read() == b"text"


def test_deleted_content_leaves_no_copy(acme: Tenant, dataset: Dataset, folder: Path) -> None:
    upload(dataset, a_txt=b"text")
    row = document()
    fetch(row.storage_key, row.sha256).close()
    with all_tenants():
        Document.objects.all().delete()
    assert discard_unused(acme.pk, row.storage_key)
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_missing_file_is_left_to_its_job(dataset: Dataset, folder: Path) -> None:
    upload(dataset, a_txt=b"text")
    default_storage.delete(document().storage_key)
    assert fetch_files_ahead(tick_pool()) == (0, 0)


def test_command_fetches_once_and_prints_numbers(dataset: Dataset, folder: Path) -> None:
    upload(dataset, a_txt=b"text")
    printed = StringIO()
    call_command("fetch_files", "--pool", tick_pool(), "--once", "--json", stdout=printed)
    assert json.loads(printed.getvalue()) == {"files": 1, "bytes": 4}


def test_command_without_a_folder_says_which_variable_to_set() -> None:
    with pytest.raises(CommandError, match="FILE_CACHE_DIR"):
        call_command("fetch_files", "--pool", "default", "--once")
