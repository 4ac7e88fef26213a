"""The command `index_documents`: input, output and exit status."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from scheduling.models import Batch, Job
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.integration.workloads.documents.indexing.conftest import JobRunner
from tests.unit.workloads.documents.extraction.makers import make_pdf
from workloads.documents.extraction.sniffing import ACCEPTED
from workloads.documents.models import Dataset


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three valid files, one of them in a subfolder, and one that is ignored."""
    folder = tmp_path_factory.mktemp("papers")
    (folder / "deep").mkdir()
    (folder / "a.md").write_text("# Fair queues", encoding="utf-8")
    (folder / "b.pdf").write_bytes(make_pdf("Fair pages"))
    (folder / "deep" / "公平.txt").write_text("公平队列", encoding="utf-8")
    (folder / ".hidden").write_bytes(b"\0")
    return folder


def index(*paths: Path, **options: Any) -> Any:
    out = StringIO()
    call_command(
        "index_documents", *map(str, paths), tenant="acme", dataset="papers", verbosity=0, stdout=out, **options
    )
    return json.loads(out.getvalue()) if options.get("json") else out.getvalue()


def run_all(job_runner: JobRunner) -> None:
    with all_tenants():
        ids = list(Job.objects.filter(state="available").order_by("id").values_list("id", flat=True))
    for job_id in ids:
        job_runner.run(job_id)


def test_folder_is_indexed_and_its_documents_are_printed(acme: Tenant, folder: Path, job_runner: JobRunner) -> None:
    taken = index(folder, no_wait=True, json=True)
    assert [(entry["name"], entry["status"]) for entry in taken["documents"]] == [
        ("a.md", "waiting"),
        ("b.pdf", "waiting"),
        ("公平.txt", "waiting"),
    ]
    with all_tenants():
        assert str(Dataset.objects.get(name="papers").pk) == taken["dataset"]
        assert [str(batch.pk) for batch in Batch.objects.all()] == taken["batches"]
        assert set(AuditLogEntry.objects.exclude(actor_kind="system").values_list("actor_id", flat=True)) == {
            "index_documents"
        }
    run_all(job_runner)
    # A repetition: every file is known, and every document is indexed.
    again = index(folder, json=True)
    assert again["batches"] == []
    assert {(entry["status"], entry["is_duplicate"], entry["chunks"]) for entry in again["documents"]} == {
        ("completed", True, 1)
    }
    assert "a.md: completed, already in the dataset" in index(folder)


def test_failing_document_is_printed_and_fails_the_command(
    acme: Tenant, folder: Path, job_runner: JobRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "b.pdf").write_bytes(make_pdf("x" * 500)[:-300])
    index(folder, no_wait=True)
    run_all(job_runner)
    with pytest.raises(CommandError, match="1 of 3 documents were not indexed"):
        index(folder)


def test_waiting_ends_at_the_timeout(acme: Tenant, folder: Path) -> None:
    with pytest.raises(CommandError, match=r"After 0\.01 seconds 0 documents have ended"):
        index(folder, timeout=0.01)


def test_files_beyond_a_batch_become_several_batches(globex: Tenant, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number}.txt").write_text(f"text {number}", encoding="utf-8")
    call_command(
        "index_documents", str(folder), tenant="globex", dataset="d", no_wait=True, verbosity=0, stdout=StringIO()
    )
    with all_tenants():
        assert sorted(Batch.objects.values_list("total", flat=True)) == [2, 5]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "x.png",
            b"\x89PNG\r\n\x1a\n\0\0",
            f"x.png: Not a file of a known type. These are: {ACCEPTED}.",
        ),
        ("empty.txt", b"", "empty.txt: The file is empty."),
    ],
)
def test_one_invalid_file_refuses_all(globex: Tenant, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.txt").write_text(f"text {number}", encoding="utf-8")
    (folder / name).write_bytes(content)
    with pytest.raises(CommandError) as caught:
        call_command("index_documents", str(folder), tenant="globex", dataset="d", verbosity=0)
    # The file's position in its batch would mean nothing to the reader.
    assert str(caught.value).splitlines()[1:] == [f"  {message}"]
    with all_tenants():
        assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("path", "tenant", "message"),
    [
        ("nowhere", "acme", "neither a file nor a folder"),
        (".", "unknown", "no tenant 'unknown'"),
        (".", "acme", "no files"),
    ],
)
def test_wrong_path_or_tenant_is_named(acme: Tenant, tmp_path: Path, path: str, tenant: str, message: str) -> None:
    if tenant == "unknown":
        (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(CommandError, match=message):
        call_command("index_documents", str(tmp_path / path), tenant=tenant, dataset="d", verbosity=0)
