"""The vector index of a large dataset: built, used, dropped, and never used for others."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, connections

from tenants.context import tenant_context
from tenants.database.conf import OWNER_ALIAS
from tenants.tenancy.service import create_tenant
from tests.integration.workloads.documents.conftest import add_document
from tests.integration.workloads.documents.reembedding.conftest import begin, finish
from tests.model_server import model_server
from tests.platform_settings import ChangePlatformSettings
from workloads.documents import search as search_module
from workloads.documents.indexing.service import change_metadata
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.reembedding.service import reembed_dataset
from workloads.documents.search import NO_FILTER, SearchMode, search_dataset
from workloads.documents.service import create_dataset, update_dataset
from workloads.documents.vector_index import has_vector_index, index_name, index_statement


@pytest.fixture
def large(transactional_db: None, change_platform_settings: ChangePlatformSettings) -> Dataset:
    """Return a committed dataset beyond the threshold, because an index is built outside transactions."""
    change_platform_settings(EXACT_SEARCH_MAX_CHUNKS=20)
    dataset = create_dataset(tenant=create_tenant(slug="acme", name="Acme", plan="team"), name="large", chunk_size=20)
    add_document(
        dataset, "large.txt", *(f"Paragraph {number} about the queue of tenant {number}." for number in range(30))
    )
    return dataset


def build(*options: str) -> list[str]:
    out = StringIO()
    call_command("build_search_indexes", *options, stdout=out)
    return out.getvalue().splitlines()


@pytest.mark.django_db(databases=["default", OWNER_ALIAS], transaction=True)
def test_large_dataset_gets_an_index_and_a_small_one_none(
    large: Dataset, change_platform_settings: ChangePlatformSettings
) -> None:
    small = create_dataset(tenant=large.tenant, name="small")
    add_document(small, "small.txt", "One paragraph about the queue.")
    name = index_name(large)
    try:
        assert build("--dry-run") == [f"build {name}"]
        assert [json.loads(line) for line in build("--dry-run", "--json")] == [{"action": "build", "index": name}]
        assert not has_vector_index(large)
        assert build() == [f"build {name}"]
        assert has_vector_index(large)
        assert not has_vector_index(small)
        assert build() == []
        with tenant_context(large.tenant_id):
            exact = search_dataset(dataset=small, query="queue", mode=SearchMode.VECTOR)
            assert [hit.chunk.document.name for hit in exact] == ["small.txt"]
            approximate = search_dataset(dataset=large, query="the queue of tenant 7", mode=SearchMode.VECTOR, top_k=5)
            assert "tenant 7." in approximate[0].chunk.text
            assert len(approximate) == 5
        assert index_is_used(large, name)
    finally:
        change_platform_settings(EXACT_SEARCH_MAX_CHUNKS=100_000)
        assert build() == [f"drop {name}"]
    assert not has_vector_index(large)


@pytest.mark.parametrize("scanned", [1, 20_000])
@pytest.mark.django_db(databases=["default", OWNER_ALIAS], transaction=True)
def test_filtered_search_by_the_index_is_complete(
    large: Dataset, change_platform_settings: ChangePlatformSettings, scanned: int
) -> None:
    few = add_document(large, "few.txt", *(f"Invoice {number} of the year." for number in range(3)))
    with tenant_context(large.tenant_id):
        dataset = update_dataset(dataset=large, metadata_fields=[{"name": "kind", "type": "text"}])
        change_metadata(document_id=few.pk, metadata={"kind": "invoice"})
    try:
        build()
        with tenant_context(large.tenant_id), connection.cursor() as cursor:
            # The invoices are not among the nearest neighbours, before which a scan of few tuples ends.
            cursor.execute("SELECT set_config('hnsw.max_scan_tuples', %s, true)", [str(scanned)])
            hits = search_dataset(
                dataset=dataset,
                query="the queue of tenant 7",
                mode=SearchMode.VECTOR,
                metadata_filter={"kind": "invoice"},
                is_folded=False,
            )
        assert [hit.chunk.document.name for hit in hits] == ["few.txt"] * few_chunks(few)
    finally:
        change_platform_settings(EXACT_SEARCH_MAX_CHUNKS=100_000)
        build()


def few_chunks(document: Document) -> int:
    with tenant_context(document.tenant_id):
        return Chunk.objects.filter(document=document).count()


def index_is_used(dataset: Dataset, name: str, dimensions: int = 512) -> bool:
    """Return whether the statement for large datasets, as the restricted role, can be answered from the index."""
    with tenant_context(dataset.tenant_id), connection.cursor() as cursor:
        # So few rows are sorted faster than read by an index.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off")
        parameters = {
            "vector": str([0.1] * dimensions),
            "limit": 5,
            "tenant_id": dataset.tenant_id,
            "dataset_id": dataset.pk,
            "model": dataset.embedding_model,
            **NO_FILTER.parameters,
        }
        cursor.execute("EXPLAIN " + index_statement(search_module._BY_VECTOR_INDEX, dimensions), parameters)
        return any(name in line for (line,) in cursor.fetchall())


def test_index_is_built_only_with_the_owners_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(connections.settings, OWNER_ALIAS, raising=False)
    with pytest.raises(Exception, match="DATABASE_OWNER_URL"):
        build()


@pytest.mark.django_db(databases=["default", OWNER_ALIAS], transaction=True)
@pytest.mark.parametrize(("size", "kind"), [(768, "vector"), (3_072, "halfvec"), (4_000, "halfvec")])
def test_index_has_the_size_of_the_model_and_follows_it(
    transactional_db: None, change_platform_settings: ChangePlatformSettings, size: int, kind: str
) -> None:
    with model_server() as server:
        models = {f"m{n}": {"url": server.url, "model": f"m{n}", "dimensions": n} for n in (8, size)}
        change_platform_settings(EXACT_SEARCH_MAX_CHUNKS=4, EMBEDDING_MODELS=models)
        tenant = create_tenant(slug="acme", name="Acme", plan="team")
        large = create_dataset(tenant=tenant, name="large", chunk_size=20, chunk_overlap=0, embedding_model="m8")
        add_document(large, "large.txt", *(f"Paragraph {number} {'.' * 60}" for number in range(9)))
        before = index_name(large)
        try:
            assert build() == [f"build {before}"]
            # While the index of the old size exists, vectors of the new one are stored.
            reembed_dataset(tenant=tenant, dataset=large, model=f"m{size}")
            run = begin(large, f"m{size}")
            finish(run)
            with tenant_context(tenant):
                large.refresh_from_db()
            assert not has_vector_index(large)
            assert build() == [f"drop {before}", f"build {index_name(large)}"]
            assert has_vector_index(large)
            with tenant_context(tenant):
                hits = search_dataset(dataset=large, query=f"Paragraph 7 {'.' * 60}", mode=SearchMode.VECTOR, top_k=5)
            assert hits[0].chunk.text.startswith("Paragraph 7")
            assert index_is_used(large, index_name(large), size)
            with connection.cursor() as cursor:
                cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [index_name(large)])
                assert f"{kind}({size})" in cursor.fetchone()[0]
        finally:
            change_platform_settings(EXACT_SEARCH_MAX_CHUNKS=100_000)
            build()
