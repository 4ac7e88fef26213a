"""Documents that do not agree with their jobs, chunks and counters are told; counters are repaired."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import override_settings

from scheduling.consistency.verification import verify
from tenants.context import tenant_context
from tests.integration.scheduling.acts import submit
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
    """An indexed document with its job, its file and its counters."""
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


def test_a_document_that_agrees_with_everything_is_clean(document: Document) -> None:
    assert found() == {}


@pytest.mark.parametrize("rows", [1, 100])
def test_each_thing_that_a_document_misses_is_told(
    document: Document, dataset: Dataset, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_checks, "CHUNK_ROWS", rows)
    change(document, chunks_done=7, job_id=uuid4())
    told = found()
    assert told == {
        "document_without_job": [str(document.pk)],
        "document_chunks": [f"Document {document.pk} says 7 chunks and has 1."],
    }
    # Nothing of a customer's is written to make it agree.
    assert not verify(repair=True).is_clean
    assert found() == told


def test_counters_of_chunks_are_repaired(document: Document) -> None:
    change(document, chunks_total=1_000)
    assert set(found()) == {"space_counter"}
    assert verify(repair=True).is_clean
    assert found() == {}
