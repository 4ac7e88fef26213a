"""Upkeep of documents: their chunks are recounted."""

from __future__ import annotations

import pytest

from scheduling.upkeep.runs import run_upkeep
from tenants.context import tenant_context
from tests.integration.workloads.documents.conftest import add_document
from workloads.documents import state_checks
from workloads.documents.models import Dataset, Document

pytestmark = pytest.mark.django_db


def test_chunks_are_compared_with_the_counts_of_their_documents(
    dataset: Dataset, globex_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = add_document(dataset, "a", "one", "two")
    add_document(globex_dataset, "b", "three")
    monkeypatch.setattr(state_checks, "CHUNK_ROWS", 1)
    clean = run_upkeep(name="verify_chunks")
    assert (clean.outcome, clean.counts["documents"]) == ("ok", 2)
    with tenant_context(dataset.tenant_id):
        Document.objects.filter(pk=document.pk).update(chunks_done=9)
    run = run_upkeep(name="verify_chunks")
    assert run.outcome == "failed"
    assert run.messages[0].startswith(f"document_chunks of tenant {dataset.tenant_id}: 1.")
    assert f"Document {document.pk} records 9 chunks" in run.messages[0]
