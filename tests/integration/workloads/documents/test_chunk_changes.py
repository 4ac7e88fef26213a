"""Changes of chunks by hand: texts, versions, counters, vectors, searches, and what re-indexing does to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from django.db import connection

from scheduling.consistency.verification import verify
from scheduling.execution import policy, processing
from scheduling.execution.settlement import settle
from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError
from tenants.limits.service import set_tenant_limit
from tenants.models import AuditLogEntry, Tenant
from tenants.tenancy.editions import StaleError
from tests.integration.scheduling.conftest import pool, start, tick, worker  # noqa: F401 - fixtures
from tests.integration.scheduling.job_helpers import Start, Tick, begin
from tests.integration.workloads.documents.conftest import add_document
from tests.integration.workloads.documents.indexing.conftest import TestRuntime
from workloads.documents import repository
from workloads.documents.chunks import service
from workloads.documents.chunks.exceptions import DocumentNotCompletedError, NoNextChunkError
from workloads.documents.chunks.processor import ChunkEmbedding
from workloads.documents.chunks.queries import extracted_text, find_chunks, find_versions, stream_text
from workloads.documents.embedding_models import local_embedder
from workloads.documents.exceptions import EmbeddingModelMismatchError
from workloads.documents.indexing.dataset_operations import reindex_dataset
from workloads.documents.indexing.exceptions import EditsWouldBeLostError
from workloads.documents.indexing.reindexing import reindex_document, renew_documents
from workloads.documents.models import Chunk, ChunkVersion, Dataset, Document
from workloads.documents.search import SearchMode, search_dataset
from workloads.documents.service import create_dataset

pytestmark = pytest.mark.django_db
TEXTS = ("The cat sleeps on the sofa.", "The bank raised its rate.", "The train leaves at noon.")
DOG = "A dog barks in the garden."


@pytest.fixture
def dataset(acme: Tenant) -> Dataset:
    return create_dataset(tenant=acme, name="handbook", chunk_size=20, chunk_overlap=0)


@pytest.fixture
def document(dataset: Dataset) -> Document:
    # Each paragraph fills most of a chunk.
    return add_document(dataset, "a.txt", *(f"{text} {'.' * 40}" for text in TEXTS))


@pytest.fixture
def embed(start: Start, tick: Tick) -> Callable[[], None]:  # noqa: F811 - the fixtures that are imported above
    """Return a function that runs all waiting jobs of chunks as a worker does."""

    def run() -> None:
        with all_tenants():
            jobs = list(Job.objects.filter(kind=ChunkEmbedding.kind).exclude(state="completed").order_by("pk"))
        for job in jobs:
            tick()
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            started = begin(start, job)
            runtime = TestRuntime(started, None, None)
            outcome = ChunkEmbedding().process(processing.context_of(started, runtime, {}))
            settlement = policy.settlement_of(outcome, started, policy.retry_policy(started, ChunkEmbedding))
            settle([settlement], effects=lambda runtime=runtime: [effect() for effect in runtime.effects])

    return run


def chunks_of(document: Document) -> list[Any]:
    with tenant_context(document.tenant_id):
        return list(find_chunks().filter(document_id=document.pk).order_by("order"))


def texts_of(document: Document) -> list[str]:
    return [chunk.text.rstrip(" .") for chunk in chunks_of(document)]


def act(document: Document, change: Callable[..., Any], **values: Any) -> Any:
    with tenant_context(document.tenant_id):
        return change(**values)


def found(dataset: Dataset, query: str, mode: SearchMode = SearchMode.TEXT) -> list[UUID]:
    with tenant_context(dataset.tenant_id):
        return [hit.chunk.pk for hit in search_dataset(dataset=dataset, query=query, mode=mode)]


def is_sound() -> bool:
    """Return whether the counters of chunks agree with the chunks; the documents of these tests have no files."""
    return verify(["chunks", "orphan_chunks", "space"]).is_clean


def is_near(chunk_id: UUID, tenant_id: UUID, text: str) -> bool:
    with tenant_context(tenant_id):
        vector = Chunk.objects.get(pk=chunk_id).embedding
    return bool(np.dot(vector, local_embedder().embed([text])[0]) > 0.99)


def test_edited_text_is_found_at_once_and_its_vector_after_the_job(
    dataset: Dataset, document: Document, embed: Callable[[], None]
) -> None:
    chunk = chunks_of(document)[0]
    changed = act(document, service.update_chunk, chunk_id=chunk.pk, text=DOG)
    assert (changed.version, changed.is_edited, changed.vector_digest) == (2, True, None)
    assert found(dataset, "dog") == [chunk.pk]
    assert found(dataset, "cat") == []
    assert is_near(chunk.pk, document.tenant_id, chunk.text)
    embed()
    assert is_near(chunk.pk, document.tenant_id, DOG)
    assert chunks_of(document)[0].vector_digest is not None
    assert found(dataset, "puppy outdoors", SearchMode.VECTOR)[0] == chunk.pk
    assert is_sound()


def test_older_job_does_not_store_the_vector_of_an_older_text(document: Document, embed: Callable[[], None]) -> None:
    chunk = chunks_of(document)[0]
    act(document, service.update_chunk, chunk_id=chunk.pk, text="Something else altogether.")
    act(document, service.update_chunk, chunk_id=chunk.pk, text=DOG)
    embed()
    assert is_near(chunk.pk, document.tenant_id, DOG)


def test_versions_say_what_was_replaced_by_whom_and_restore_it(document: Document) -> None:
    chunk = chunks_of(document)[0]
    for text in ("Second text.", DOG):
        act(document, service.update_chunk, chunk_id=chunk.pk, text=text)
    with tenant_context(document.tenant_id):
        versions = list(find_versions(chunk).order_by("number"))
        assert extracted_text(Chunk.objects.get(pk=chunk.pk)) == chunk.text
    assert [(row.number, row.text, row.change) for row in versions] == [
        (1, chunk.text, "edited"),
        (2, "Second text.", "edited"),
    ]
    assert {row.replaced_by for row in versions} == {"system"}
    act(document, service.restore_chunk, chunk_id=chunk.pk, number=1)
    assert chunks_of(document)[0].text == chunk.text
    with tenant_context(document.tenant_id):
        assert find_versions(chunk).get(number=3).change == "restored"


def test_chunk_keeps_its_first_and_its_newest_versions(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_VERSIONS", 2)
    chunk = chunks_of(document)[0]
    for number in range(5):
        act(document, service.update_chunk, chunk_id=chunk.pk, text=f"Text {number}.")
    with tenant_context(document.tenant_id):
        assert list(find_versions(chunk).order_by("number").values_list("number", flat=True)) == [1, 4, 5]


@pytest.mark.parametrize("mode", list(SearchMode))
def test_switched_off_chunk_is_in_no_search(dataset: Dataset, document: Document, mode: SearchMode) -> None:
    chunk = chunks_of(document)[0]
    assert chunk.pk in found(dataset, "cat sofa", mode)
    act(document, service.update_chunk, chunk_id=chunk.pk, is_enabled=False)
    assert chunk.pk not in found(dataset, "cat sofa", mode)
    act(document, service.update_chunk, chunk_id=chunk.pk, is_enabled=True)
    assert chunk.pk in found(dataset, "cat sofa", mode)


def test_added_chunk_stands_behind_its_neighbour_and_counts(
    dataset: Dataset, document: Document, embed: Callable[[], None]
) -> None:
    first = chunks_of(document)[0]
    added = act(document, service.add_chunk, after_id=first.pk, text=DOG)
    act(document, service.add_chunk, after_id=first.pk, text="Between.")
    last = act(document, service.add_chunk, after_id=chunks_of(document)[-1].pk, text="Last.")
    assert texts_of(document) == [TEXTS[0][:-1], "Between", DOG[:-1], TEXTS[1][:-1], TEXTS[2][:-1], "Last"]
    assert chunks_of(document)[-1].pk == last.pk
    assert found(dataset, "dog") == [added.pk]
    with tenant_context(document.tenant_id):
        stored = Document.objects.get(pk=document.pk)
        assert (stored.chunks_done, stored.chunks_total) == (6, 6)
        assert extracted_text(added) is None
    embed()
    assert is_near(added.pk, document.tenant_id, DOG)
    assert is_sound()


def test_addition_without_room_is_refused_and_changes_nothing(acme: Tenant, document: Document) -> None:
    set_tenant_limit(tenant=acme, key="vector_chunks", value=3, reason="test")
    with pytest.raises(Exception, match="chunks"):
        act(document, service.add_chunk, after_id=chunks_of(document)[0].pk, text=DOG)
    assert len(chunks_of(document)) == 3
    assert is_sound()


def test_split_and_merge_are_inverse(dataset: Dataset, document: Document, embed: Callable[[], None]) -> None:
    chunk = chunks_of(document)[0]
    first, second = act(document, service.split_chunk, chunk_id=chunk.pk, offset=8, version=1)
    assert texts_of(document)[:2] == ["The cat", "sleeps on the sofa"]
    assert first.pk == chunk.pk
    assert found(dataset, "sleeps") == [second.pk]
    embed()
    act(document, service.merge_chunk, chunk_id=chunk.pk)
    assert len(chunks_of(document)) == 3
    assert found(dataset, "sleeps cat") == [chunk.pk]
    assert chunks_of(document)[0].text.split() == chunk.text.split()
    assert is_sound()
    with tenant_context(document.tenant_id):
        assert not find_versions(second).exists()


def test_split_of_another_version_is_refused(document: Document) -> None:
    chunk = chunks_of(document)[0]
    act(document, service.update_chunk, chunk_id=chunk.pk, text=DOG)
    with pytest.raises(StaleError):
        act(document, service.split_chunk, chunk_id=chunk.pk, offset=4, version=1)
    with pytest.raises(FieldInvalidError):
        act(document, service.split_chunk, chunk_id=chunk.pk, offset=4_000)


def test_last_chunk_has_nothing_to_merge_with(document: Document) -> None:
    with pytest.raises(NoNextChunkError):
        act(document, service.merge_chunk, chunk_id=chunks_of(document)[-1].pk)


def test_embedding_again_repairs_a_vector(document: Document, embed: Callable[[], None]) -> None:
    chunk = chunks_of(document)[0]
    with tenant_context(document.tenant_id):
        Chunk.objects.filter(pk=chunk.pk).update(embedding=None)
    act(document, service.embed_chunk, chunk_id=chunk.pk)
    embed()
    assert is_near(chunk.pk, document.tenant_id, chunk.text)


def test_chunks_of_an_unfinished_document_cannot_be_changed(document: Document) -> None:
    with tenant_context(document.tenant_id):
        Document.objects.filter(pk=document.pk).update(status="indexing")
    with pytest.raises(DocumentNotCompletedError):
        act(document, service.update_chunk, chunk_id=chunks_of(document)[0].pk, text=DOG)


def test_text_cannot_change_without_its_embedding_model(document: Document) -> None:
    with tenant_context(document.tenant_id):
        Dataset.objects.update(embedding_model="another")
    chunk = chunks_of(document)[0]
    with pytest.raises(EmbeddingModelMismatchError):
        act(document, service.update_chunk, chunk_id=chunk.pk, text=DOG)
    assert act(document, service.update_chunk, chunk_id=chunk.pk, is_enabled=False).is_enabled is False


def test_audit_entries_have_no_text(document: Document) -> None:
    chunk = chunks_of(document)[0]
    act(document, service.update_chunk, chunk_id=chunk.pk, text=DOG, reason="wrong animal")
    act(document, service.add_chunk, after_id=chunk.pk, text=DOG)
    act(document, service.split_chunk, chunk_id=chunk.pk, offset=6)
    act(document, service.merge_chunk, chunk_id=chunk.pk)
    with all_tenants():
        entries = list(AuditLogEntry.objects.filter(action__startswith="chunk.").order_by("id"))
    assert [entry.action for entry in entries] == ["chunk.updated", "chunk.added", "chunk.split", "chunk.merged"]
    assert entries[0].reason == "wrong animal"
    assert entries[0].after == {"version": 2, "characters": len(DOG), "is_enabled": True}
    assert "dog" not in str([(entry.before, entry.after) for entry in entries])


def test_renewal_refuses_to_lose_changes_until_they_are_discarded(
    acme: Tenant, dataset: Dataset, document: Document
) -> None:
    with all_tenants():
        tenant = Tenant.objects.select_related("plan").get(pk=acme.pk)
    first, second, _ = chunks_of(document)
    act(document, service.update_chunk, chunk_id=first.pk, text=DOG)
    act(document, service.update_chunk, chunk_id=second.pk, is_enabled=False)
    with pytest.raises(EditsWouldBeLostError, match="2 chunks"):
        act(document, reindex_document, tenant=tenant, document_id=document.pk)
    with pytest.raises(EditsWouldBeLostError, match="2 chunks"):
        reindex_dataset(tenant=tenant, dataset_id=dataset.pk, everything=True)
    asked = {"tenant": tenant, "dataset": dataset, "found": {document.pk: document.job_id}}
    assert act(document, renew_documents, **asked, discard_edits=False) == 0
    assert act(document, renew_documents, **asked, discard_edits=True) == 1
    assert found(dataset, "dog") == [first.pk]
    with tenant_context(acme):
        renewed = Document.objects.get(pk=document.pk)
        source = repository.read_source(acme.pk, document.pk, job_id=renewed.job_id)
        repository.complete(source)
        assert not ChunkVersion.objects.exists()


def test_text_of_a_document_is_that_of_its_chunks_now(document: Document) -> None:
    act(document, service.update_chunk, chunk_id=chunks_of(document)[0].pk, text=DOG)
    asked: list[bool] = []
    with tenant_context(document.tenant_id):
        text = stream_text(document, before_page=lambda: asked.append(True))
    assert "".join(text).startswith(f"{DOG}\n{TEXTS[1]}")
    assert asked == [True]
