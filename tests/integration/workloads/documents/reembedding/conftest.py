"""Embedding models of several sizes from one endpoint, and the steps of a re-embedding in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from scheduling.kit.testing import RecordingRuntime, make_context
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.workloads.documents.conftest import add_document
from tests.model_server import ModelServer, model_server
from tests.platform_settings import ChangePlatformSettings
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.reembedding import processor
from workloads.documents.reembedding.processor import DatasetEmbedding, Reembedding
from workloads.documents.reembedding.service import reembed_dataset
from workloads.documents.search import SearchMode, search_dataset
from workloads.documents.service import create_dataset

SIZES = (8, 768, 3_072, 4_000)
TEXTS = tuple(f"Paragraph {name} stands alone {'.' * 40}" for name in ("alpha", "bravo", "charlie", "delta", "echo"))


@pytest.fixture
def endpoint(change_platform_settings: ChangePlatformSettings) -> Iterator[ModelServer]:
    """Run an endpoint with the models m8, m768, m3072 and m4000."""
    with model_server() as server:
        change_platform_settings(
            EMBEDDING_MODELS={
                f"m{size}": {"url": server.url, "model": f"m{size}", "dimensions": size, "price": 2.5} for size in SIZES
            }
        )
        yield server


@pytest.fixture
def dataset(acme: Tenant, endpoint: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Return a dataset of the model m8 with a chunk for each text; batches have two chunks."""
    monkeypatch.setattr(processor, "BATCH_CHUNKS", 2)
    monkeypatch.setattr(processor, "BATCH_MOVES", 2)
    made = create_dataset(tenant=acme, name="handbook", chunk_size=20, chunk_overlap=0, embedding_model="m8")
    add_document(made, "a.txt", *TEXTS)
    endpoint.asked.clear()
    return made


def reload(dataset: Dataset) -> Dataset:
    with tenant_context(dataset.tenant_id):
        found: Dataset = Dataset.objects.get(pk=dataset.pk)
    return found


def start(dataset: Dataset, model: str, **options: Any) -> Dataset:
    """Request the re-embedding, without running its job."""
    with tenant_context(dataset.tenant_id):
        tenant = Tenant.objects.select_related("plan").get(pk=dataset.tenant_id)
    return reembed_dataset(tenant=tenant, dataset=dataset, model=model, **options)


def begin(dataset: Dataset, model: str, state: Any = None, **runtime: Any) -> Reembedding:
    """Return the re-embedding of a job that starts with this state."""
    payload = {"dataset_id": str(dataset.pk), "model": model}
    context = make_context(DatasetEmbedding, payload, runtime=RecordingRuntime(**runtime), state=state or {})
    return Reembedding(replace(context, tenant_id=dataset.tenant_id), reload(dataset), model)


def advance(run: Reembedding) -> Any:
    with tenant_context(run.dataset.tenant_id):
        return run.advance()


def advance_until_moving(run: Reembedding) -> None:
    while not run.dataset.is_moving:
        assert advance(run) is None


def finish(run: Reembedding) -> Dataset:
    """Do the remaining steps and the settlement."""
    while not run.is_done:
        assert advance(run) is None
    with tenant_context(run.dataset.tenant_id):
        processor.repository.finish(run.dataset, run.model)
    return reload(run.dataset)


def found(dataset: Dataset, word: str, mode: SearchMode = SearchMode.VECTOR, **options: Any) -> list[str]:
    """Return the names of the paragraphs that a search finds, best first."""
    with tenant_context(dataset.tenant_id):
        hits = search_dataset(dataset=reload(dataset), query=f"Paragraph {word} stands alone", mode=mode, **options)
    return [hit.chunk.text.split()[1] for hit in hits]


def chunks_of(dataset: Dataset) -> list[Chunk]:
    with tenant_context(dataset.tenant_id):
        return list(Chunk.objects.filter(dataset=dataset).order_by("id"))


def sizes_of(dataset: Dataset) -> set[int]:
    """Return the numbers of dimensions of the vectors that the chunks have."""
    return {0 if chunk.embedding is None else len(chunk.embedding) for chunk in chunks_of(dataset)}


def document_of(dataset: Dataset) -> Document:
    with tenant_context(dataset.tenant_id):
        document: Document = Document.objects.filter(dataset=dataset).order_by("id")[0]
    return document


def models_asked(endpoint: ModelServer) -> list[str]:
    return [one.body["model"] for one in endpoint.asked]
