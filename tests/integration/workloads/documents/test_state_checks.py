"""State checks of documents: mismatches with jobs, chunks and counters are found, and counters are repaired."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import override_settings

from scheduling.consistency.verification import verify
from tenants.context import tenant_context
from tests.integration.scheduling.job_helpers import submit
from tests.integration.workloads.documents.conftest import add_document
from workloads.documents import state_checks
from workloads.documents.models import Dataset, Document, DocumentStatus
from workloads.files.store import store_bytes

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files_root(tmp_path: Path) -> Iterator[Path]:
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


@pytest.fixture
def document(dataset: Dataset) -> Document:
    """Return an indexed document with its job, its file and its counters."""
    made = add_document(dataset, "a.txt", "one", "two")
    job = submit(dataset.tenant)[0]
    key = store_bytes(dataset.tenant_id, b"one").key
    change(made, storage_key=key, job_id=job.pk, status=DocumentStatus.INDEXING)
    verify(["space"], repair=True)
    return made


def change(document: Document, **columns: object) -> None:
    with tenant_context(document.tenant_id):
        assert Document.objects.filter(pk=document.pk).update(**columns)


def found() -> dict[str, list[str]]:
    return {code: [str(example) for example in finding.examples] for (code, _), finding in verify().findings.items()}


def test_consistent_document_is_clean(document: Document) -> None:
    assert found() == {}


@pytest.mark.parametrize("rows", [1, 100])
def test_each_mismatch_of_a_document_is_found(
    document: Document, dataset: Dataset, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_checks, "CHUNK_ROWS", rows)
    change(document, chunks_done=7, job_id=uuid4())
    faults = found()
    assert faults == {
        "document_without_job": [str(document.pk)],
        "document_chunks": [f"Document {document.pk} records 7 chunks but has 1."],
    }
    # Rows of a customer are not changed by a repair.
    assert not verify(repair=True).is_clean
    assert found() == faults


def test_chunk_counters_are_repaired(document: Document) -> None:
    change(document, chunks_total=1_000)
    assert set(found()) == {"space_counter"}
    assert verify(repair=True).is_clean
    assert found() == {}
