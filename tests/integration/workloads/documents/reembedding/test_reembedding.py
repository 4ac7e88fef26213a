"""Re-embedding of a dataset: what serves meanwhile, what a stop repeats, and what changes at the same time."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from scheduling.kit.base import Complete, Interrupted, Snoozed, Yielded
from scheduling.kit.testing import RecordingRuntime, make_context
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.workloads.documents.conftest import add_document
from tests.integration.workloads.documents.reembedding.conftest import (
    SIZES,
    TEXTS,
    advance,
    advance_until_moving,
    begin,
    chunks_of,
    document_of,
    finish,
    found,
    models_asked,
    reload,
    sizes_of,
    start,
)
from tests.model_server import ModelServer, embed_text
from tests.platform_settings import ChangePlatformSettings
from workloads.documents import repository
from workloads.documents.blocks import Facts
from workloads.documents.chunks import processor as chunk_processor
from workloads.documents.chunks import service as chunk_service
from workloads.documents.embedding_models import embedder_of
from workloads.documents.exceptions import EmbeddingModelMismatchError, ModelReplacedError
from workloads.documents.indexing.service import change_metadata
from workloads.documents.models import Chunk, Dataset, NextVector
from workloads.documents.reembedding import processor
from workloads.documents.reembedding.processor import DatasetEmbedding
from workloads.documents.reembedding.repository import ReembeddingGoneError
from workloads.documents.search import SearchMode, search_datasets
from workloads.documents.service import create_dataset, update_dataset
from workloads.documents.splitting import Passage
from workloads.documents.vector_reuse import digest_of_text
from workloads.model_endpoints.models import UsageDay
from workloads.model_endpoints.service import create_endpoint

pytestmark = pytest.mark.django_db
# Of a search that `found` makes.
QUERY = "Paragraph echo stands alone"
NEW = f"Paragraph foxtrot stands alone {'.' * 40}"


@pytest.mark.parametrize("size", SIZES)
def test_dataset_is_searched_by_vectors_of_its_models_size(acme: Tenant, endpoint: ModelServer, size: int) -> None:
    dataset = create_dataset(tenant=acme, name="any", chunk_size=20, chunk_overlap=0, embedding_model=f"m{size}")
    add_document(dataset, "a.txt", *TEXTS)
    assert sizes_of(dataset) == {size}
    assert found(dataset, "charlie")[0] == "charlie"
    assert found(dataset, "delta", SearchMode.HYBRID)[0] == "delta"
    assert set(models_asked(endpoint)) == {f"m{size}"}


@pytest.mark.parametrize("size", [768, 3_072, 4_000])
def test_search_finds_every_chunk_at_each_step(dataset: Dataset, endpoint: ModelServer, size: int) -> None:
    start(dataset, f"m{size}")
    run = begin(dataset, f"m{size}")
    served = []
    while not run.is_done:
        serving = reload(dataset).embedding_model
        for mode in (SearchMode.VECTOR, SearchMode.HYBRID):
            endpoint.asked.clear()
            names = found(dataset, "bravo", mode)
            assert (names[0], len(names)) == ("bravo", 5)
            assert models_asked(endpoint) == [serving]
        served.append(serving)
        assert advance(run) is None
    # Three batches, a look for chunks left out, the change, and three moves.
    assert served == ["m8"] * 5 + [f"m{size}"] * 4
    after = finish(run)
    assert (after.embedding_model, after.next_model, sizes_of(dataset)) == (f"m{size}", "", {size})
    for chunk in chunks_of(dataset):
        assert np.allclose(chunk.embedding, embed_text(chunk.text, size), atol=1e-5)
        assert chunk.vector_digest == digest_of_text(f"m{size}", chunk.text)
    with tenant_context(dataset.tenant_id):
        assert not NextVector.objects.exists()


def test_job_runs_to_its_end_and_reports_progress(dataset: Dataset, endpoint: ModelServer) -> None:
    start(dataset, "m768")
    runtime = RecordingRuntime()
    assert run_job(dataset, "m768", runtime) == Complete({"dataset": str(dataset.pk), "model": "m768"})
    assert runtime.progress == [(2, 5, "chunks"), (4, 5, "chunks"), (5, 5, "chunks")]
    assert (reload(dataset).embedding_model, reload(dataset).next_model) == ("m768", "")
    assert models_asked(endpoint) == ["m768"] * 3


def run_job(dataset: Dataset, model: str, runtime: RecordingRuntime, state: Any = None) -> Any:
    """Start the job once; settle it if it completes, and return Interrupted if it is stopped."""
    payload = {"dataset_id": str(dataset.pk), "model": model}
    context = make_context(DatasetEmbedding, payload, runtime=runtime, state=state)
    context = replace(context, tenant_id=dataset.tenant_id)
    with tenant_context(dataset.tenant_id):
        try:
            outcome: Any = DatasetEmbedding().process(context)
        except Interrupted as stopped:
            return stopped
        for effect in runtime.in_settlement_effects:
            effect()
    return outcome


@pytest.mark.parametrize("stop", range(1, 20))
def test_job_that_is_stopped_anywhere_repeats_one_batch_at_most(
    dataset: Dataset, endpoint: ModelServer, stop: int
) -> None:
    start(dataset, "m768")
    runtime = RecordingRuntime(interrupted_after=stop)
    if isinstance(run_job(dataset, "m768", runtime), Interrupted):
        assert found(dataset, "echo")[0] == "echo"
        state = runtime.states[-1] if runtime.states else {}
        assert isinstance(run_job(dataset, "m768", RecordingRuntime(), state), Complete)
    asked = [text for one in endpoint.asked if one.body["model"] == "m768" for text in one.body["input"]]
    embedded = [text for text in asked if text != QUERY]
    # A batch whose checkpoint was not reached is embedded again.
    assert len(set(embedded)) == 5
    assert len(embedded) <= 5 + processor.BATCH_CHUNKS
    assert (reload(dataset).embedding_model, reload(dataset).next_model, sizes_of(dataset)) == ("m768", "", {768})


def test_job_that_yields_continues_behind_the_stored_chunks(dataset: Dataset, endpoint: ModelServer) -> None:
    start(dataset, "m768")
    # The first question whether to yield comes before the batch, the second behind its checkpoint.
    runtime = RecordingRuntime(yields_after=3)
    outcome = run_job(dataset, "m768", runtime)
    assert isinstance(outcome, Yielded)
    assert outcome.state == {"after": str(chunks_of(dataset)[1].pk)}
    assert isinstance(run_job(dataset, "m768", RecordingRuntime(), outcome.state), Complete)
    assert len(endpoint.asked) == 3


def test_rate_limit_snoozes_the_job(dataset: Dataset, endpoint: ModelServer) -> None:
    start(dataset, "m768")
    endpoint.fail_next(429, retry_after="7")
    assert run_job(dataset, "m768", RecordingRuntime()) == Snoozed({"after": None}, 7.0)
    assert isinstance(run_job(dataset, "m768", RecordingRuntime(), {"after": None}), Complete)


def edit(dataset: Dataset, chunk_id: UUID, text: str = NEW) -> None:
    with tenant_context(dataset.tenant_id):
        chunk_service.update_chunk(chunk_id=chunk_id, text=text)


def embed_waiting(dataset: Dataset) -> None:
    """Do what the jobs of changed chunks do."""
    with tenant_context(dataset.tenant_id):
        waiting = chunk_processor.read_waiting(
            dataset.tenant_id, list(Chunk.objects.filter(vector_digest=None).values_list("pk", flat=True))
        )
        if waiting:
            vectors = chunk_processor.embed_texts(
                embedder_of(dataset.tenant_id, waiting[0].dataset.embedding_model),
                [chunk.text for chunk in waiting],
                chunk_processor.StepContext(lambda: None, lambda needed: nullcontext()),
            )
            chunk_processor.store_vectors(waiting, vectors, model=waiting[0].dataset.embedding_model)


def test_chunk_edited_after_it_was_passed_is_caught_up(dataset: Dataset) -> None:
    start(dataset, "m768")
    run = begin(dataset, "m768")
    advance(run)
    edit(dataset, chunks_of(dataset)[0].pk)
    embed_waiting(dataset)
    assert found(dataset, "foxtrot")[0] == "foxtrot"
    finish(run)
    assert found(dataset, "foxtrot")[0] == "foxtrot"
    assert sizes_of(dataset) == {768}
    assert np.allclose(chunks_of(dataset)[0].embedding, embed_text(NEW, 768), atol=1e-5)


def test_chunk_edited_while_its_text_is_embedded_gets_no_vector_of_the_old_text(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(dataset, "m768")
    run, first, embed = begin(dataset, "m768"), chunks_of(dataset)[0].pk, processor.embed_texts
    edits = iter([first])

    def embed_and_edit(*args: Any, **options: Any) -> Any:
        for chunk_id in edits:
            edit(dataset, chunk_id)
        return embed(*args, **options)

    monkeypatch.setattr(processor, "embed_texts", embed_and_edit)
    advance(run)
    with tenant_context(dataset.tenant_id):
        assert not NextVector.objects.filter(pk=first).exists()
        assert NextVector.objects.count() == 1
    finish(run)
    assert np.allclose(chunks_of(dataset)[0].embedding, embed_text(NEW, 768), atol=1e-5)


def test_chunks_changed_while_vectors_are_moved_have_vectors_of_the_new_model(dataset: Dataset) -> None:
    start(dataset, "m768")
    run = begin(dataset, "m768")
    advance_until_moving(run)
    chunks = chunks_of(dataset)
    with tenant_context(dataset.tenant_id):
        chunk_service.split_chunk(chunk_id=chunks[4].pk, offset=len("Paragraph echo"))
        chunk_service.add_chunk(after_id=chunks[0].pk, text=NEW)
        chunk_service.merge_chunk(chunk_id=chunks[2].pk)
    edit(dataset, chunks[1].pk)
    assert len(found(dataset, "alpha")) == 5
    embed_waiting(dataset)
    assert found(dataset, "foxtrot")[0] == "foxtrot"
    finish(run)
    assert sizes_of(dataset) == {768}
    for chunk in chunks_of(dataset):
        assert np.allclose(chunk.embedding, embed_text(chunk.text, 768), atol=1e-5)


@pytest.mark.parametrize("steps", range(10))
def test_document_indexed_during_any_step_is_found_before_and_after(dataset: Dataset, steps: int) -> None:
    start(dataset, "m768")
    run = begin(dataset, "m768")
    for _ in range(steps):
        if not run.is_done:
            advance(run)
    add_document(reload(dataset), "b.txt", NEW)
    assert found(dataset, "foxtrot")[0] == "foxtrot"
    finish(run)
    assert found(dataset, "foxtrot")[0] == "foxtrot"
    assert sizes_of(dataset) == {768}


def test_chunks_that_do_not_serve_yet_get_the_new_vectors_too(dataset: Dataset) -> None:
    with tenant_context(dataset.tenant_id):
        document = add_document(dataset, "b.txt", NEW)
        Chunk.objects.filter(document=document).update(is_served=False)
    start(dataset, "m768")
    finish(begin(dataset, "m768"))
    assert sizes_of(dataset) == {768}
    assert "foxtrot" not in found(dataset, "foxtrot")
    with tenant_context(dataset.tenant_id):
        Chunk.objects.filter(document=document).update(is_served=True)
    assert found(dataset, "foxtrot")[0] == "foxtrot"


def test_vectors_of_the_old_model_are_not_stored_once_the_new_one_serves(dataset: Dataset) -> None:
    document, first = document_of(dataset), chunks_of(dataset)[0]
    with tenant_context(dataset.tenant_id):
        late = repository.read_source(dataset.tenant_id, document.pk, job_id=document.job_id)
        repository.begin_chunks(late, digest="other", total=1, facts=Facts())
    edited = add_document(dataset, "b.txt", *TEXTS)
    start(dataset, "m768")
    finish(begin(dataset, "m768"))
    with tenant_context(dataset.tenant_id):
        with pytest.raises(ModelReplacedError):
            repository.append_chunks(late, [Passage(0, "late", {})], np.ones((1, 8), dtype=np.float32))
        chunk = Chunk.objects.filter(document=edited).first()
        Chunk.objects.filter(pk=chunk.pk).update(vector_digest=None)
        chunk_processor.store_vectors([chunk], np.ones((1, 8), dtype=np.float32), model="m8")
    assert sizes_of(dataset) == {768}
    assert first.pk not in [chunk.pk for chunk in chunks_of(dataset)]


def test_search_that_began_before_the_change_ends_by_the_new_model(dataset: Dataset, endpoint: ModelServer) -> None:
    stale = reload(dataset)
    start(dataset, "m768")
    run = begin(dataset, "m768")
    advance_until_moving(run)
    for _ in range(2):
        endpoint.asked.clear()
        with tenant_context(dataset.tenant_id):
            hits = search_datasets(datasets=[stale], query="Paragraph alpha stands alone", mode=SearchMode.VECTOR)
        assert (hits[0].chunk.text.split()[1], len(hits)) == ("alpha", 5)
        finish(run)
        stale.embedding_model, stale.next_model = "m8", ""
    assert models_asked(endpoint) == ["m8", "m768"]


def test_datasets_of_several_models_are_searched_together(
    acme: Tenant, dataset: Dataset, endpoint: ModelServer
) -> None:
    others = [create_dataset(tenant=acme, name=name, embedding_model="m4000") for name in ("one", "two")]
    for other in others:
        add_document(other, "b.txt", NEW)
    endpoint.asked.clear()
    with tenant_context(acme):
        hits = search_datasets(datasets=[dataset, *others], query="Paragraph foxtrot stands alone", is_folded=False)
    assert sum(hit.chunk.text.split()[1] == "foxtrot" for hit in hits) == 2
    assert {hit.chunk.dataset_id for hit in hits} == {dataset.pk, *(other.pk for other in others)}
    assert models_asked(endpoint) == ["m8", "m4000"]


def test_dataset_of_a_model_that_is_gone_is_searched_by_words_and_re_embedded(dataset: Dataset) -> None:
    with tenant_context(dataset.tenant_id):
        Dataset.objects.filter(pk=dataset.pk).update(embedding_model="gone")
    with pytest.raises(EmbeddingModelMismatchError) as refused:
        found(dataset, "alpha")
    assert refused.value.code == "embedding_model_mismatch"
    assert found(dataset, "alpha", SearchMode.TEXT)[0] == "alpha"
    start(dataset, "m768")
    finish(begin(dataset, "m768"))
    assert found(dataset, "alpha")[0] == "alpha"


def test_model_of_the_same_size_replaces_all_vectors(acme: Tenant, dataset: Dataset, endpoint: ModelServer) -> None:
    start(dataset, "m768")
    finish(begin(dataset, "m768"))
    start(dataset, "m8")
    finish(begin(dataset, "m8"))
    assert sizes_of(dataset) == {8}
    assert found(dataset, "delta")[0] == "delta"


def test_vectors_that_the_tenant_has_of_the_new_model_are_reused(
    acme: Tenant, dataset: Dataset, globex: Tenant, endpoint: ModelServer
) -> None:
    other = create_dataset(tenant=acme, name="other", chunk_size=20, chunk_overlap=0, embedding_model="m768")
    add_document(other, "a.txt", *TEXTS)
    endpoint.asked.clear()
    start(dataset, "m768")
    finish(begin(dataset, "m768"))
    assert endpoint.asked == []
    assert found(dataset, "delta")[0] == "delta"


def test_chunks_are_embedded_below_their_headings(dataset: Dataset, endpoint: ModelServer) -> None:
    with tenant_context(dataset.tenant_id):
        Chunk.objects.filter(dataset=dataset).update(location={"heading": ["Workers", "Lease"], "line": 1})
    start(dataset, "m768")
    finish(begin(dataset, "m768"))
    embedded = [f"Workers › Lease\n{chunk.text}" for chunk in chunks_of(dataset)]
    assert [text for one in endpoint.asked for text in one.body["input"]] == embedded
    assert [chunk.vector_digest for chunk in chunks_of(dataset)] == [digest_of_text("m768", text) for text in embedded]


def test_filtered_search_is_complete_at_each_step(dataset: Dataset) -> None:
    other = add_document(dataset, "b.txt", NEW)
    with tenant_context(dataset.tenant_id):
        update_dataset(dataset=reload(dataset), metadata_fields=[{"name": "kind", "type": "text"}])
        change_metadata(document_id=other.pk, metadata={"kind": "invoice"})
    start(dataset, "m768")
    run = begin(dataset, "m768")
    while not run.is_done:
        for mode in (SearchMode.VECTOR, SearchMode.HYBRID):
            assert found(dataset, "alpha", mode, metadata_filter={"kind": "invoice"}) == ["foxtrot"]
        advance(run)


def test_given_up_re_embedding_leaves_the_old_vectors_and_ends_its_job(dataset: Dataset) -> None:
    start(dataset, "m768")
    run = begin(dataset, "m768")
    advance(run)
    start(dataset, "m8")
    assert (reload(dataset).embedding_model, reload(dataset).next_model) == ("m8", "")
    with tenant_context(dataset.tenant_id):
        assert not NextVector.objects.exists()
    with pytest.raises(ReembeddingGoneError):
        advance(run)
    with pytest.raises(ReembeddingGoneError):
        run_job(dataset, "m768", RecordingRuntime())
    assert sizes_of(dataset) == {8}


def test_re_embedding_by_a_third_model_begins_anew(dataset: Dataset) -> None:
    start(dataset, "m768")
    advance(begin(dataset, "m768"))
    start(dataset, "m4000")
    finish(begin(dataset, "m4000"))
    assert sizes_of(dataset) == {4_000}


def test_endpoint_with_vectors_of_another_size_changes_nothing(dataset: Dataset, endpoint: ModelServer) -> None:
    start(dataset, "m768")
    endpoint.answer_next({"data": [{"index": n, "embedding": [1.0] * 8} for n in range(2)]})
    with pytest.raises(processor.PermanentError) as refused:
        run_job(dataset, "m768", RecordingRuntime())
    assert refused.value.code == "embedding_answer_invalid"
    assert found(dataset, "delta")[0] == "delta"
    assert reload(dataset).embedding_model == "m8"


def test_vectors_of_another_size_than_the_models_are_not_compared(dataset: Dataset) -> None:
    with tenant_context(dataset.tenant_id):
        Dataset.objects.filter(pk=dataset.pk).update(embedding_model="m768")
    with pytest.raises(EmbeddingModelMismatchError, match="another size"):
        found(dataset, "alpha")


def test_tokens_of_a_re_embedding_by_the_tenants_endpoint_are_counted(
    acme: Tenant, dataset: Dataset, endpoint: ModelServer, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[endpoint.host])
    vectors = {"name": "v", "use": "embedding", "dimensions": 768}
    create_endpoint(tenant=acme, name="own", url=endpoint.url, models=[vectors])
    start(dataset, "own/v@768")
    finish(begin(dataset, "own/v@768"))
    assert (sizes_of(dataset), len(endpoint.asked)) == ({768}, 3)
    with tenant_context(acme):
        assert UsageDay.objects.get().requests == 3
    assert found(dataset, "delta")[0] == "delta"
