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
from tests.platform_settings import ChangePlatformSettings
from workloads.documents import search as search_module
from workloads.documents.indexing.service import change_metadata
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.search import NO_FILTER, SearchMode, search_dataset
from workloads.documents.service import create_dataset, update_dataset
from workloads.documents.vector_index import has_vector_index, index_name


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
    name = index_name(large.pk)
    try:
        assert build("--dry-run") == [f"build {name}"]
        assert [json.loads(line) for line in build("--dry-run", "--json")] == [{"action": "build", "index": name}]
        assert not has_vector_index(large.pk)
        assert build() == [f"build {name}"]
        assert has_vector_index(large.pk)
        assert not has_vector_index(small.pk)
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
    assert not has_vector_index(large.pk)


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


def index_is_used(dataset: Dataset, name: str) -> bool:
    """Return whether the statement for large datasets, as the restricted role, can be answered from the index."""
    with tenant_context(dataset.tenant_id), connection.cursor() as cursor:
        # So few rows are sorted faster than read by an index.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off")
        parameters = {
            "vector": str([0.1] * 512),
            "limit": 5,
            "tenant_id": dataset.tenant_id,
            "dataset_id": dataset.pk,
            "others": [],
            **NO_FILTER.parameters,
        }
        cursor.execute("EXPLAIN " + search_module._BY_VECTOR_INDEX, parameters)
        return any(name in line for (line,) in cursor.fetchall())


def test_index_is_built_only_with_the_owners_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(connections.settings, OWNER_ALIAS, raising=False)
    with pytest.raises(Exception, match="DATABASE_OWNER_URL"):
        build()
