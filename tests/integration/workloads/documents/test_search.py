"""Search on the real tables: its hits, and isolation between tenants."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.workloads.documents.conftest import add_document
from workloads.documents import search as search_module
from workloads.documents.exceptions import EmbeddingModelMismatchError
from workloads.documents.models import Chunk, Dataset
from workloads.documents.search import SearchMode, search_dataset
from workloads.documents.service import create_dataset

TEXTS = {
    "cats.txt": "A cat sleeps on the warm sofa and dreams of mice.",
    "rates.txt": "The central bank raised its interest rate by half a point.",
    "invoice.txt": "Invoice number XK-4711 is due at the end of the month.",
    "猫.txt": "一只猫在沙发上睡觉，梦见了老鼠。",
    "部署.txt": "部署新版本时，工作进程会先完成手头的任务再退出。",
    "lock.txt": "An advisory lock is released when its transaction ends.",
}


@pytest.fixture
def library(dataset: Dataset) -> Dataset:
    for name, text in TEXTS.items():
        add_document(dataset, name, text)
    return dataset


def names_of(dataset: Dataset, query: str, **options: Any) -> list[str]:
    with tenant_context(dataset.tenant_id):
        return [hit.chunk.document.name for hit in search_dataset(dataset=dataset, query=query, **options)]


@pytest.mark.parametrize(
    ("query", "mode", "first"),
    [
        ("Where does the cat rest?", SearchMode.HYBRID, "cats.txt"),
        ("monetary policy of the bank", SearchMode.VECTOR, "rates.txt"),
        ("XK-4711", SearchMode.TEXT, "invoice.txt"),  # unknown to every embedding
        ("XK-4711", SearchMode.HYBRID, "invoice.txt"),
        ("工作进程如何退出？", SearchMode.HYBRID, "部署.txt"),
        ("猫睡觉", SearchMode.TEXT, "猫.txt"),  # by its pairs of characters
        ("when is a lock freed", SearchMode.VECTOR, "lock.txt"),
    ],
)
def test_best_matching_chunk_comes_first(library: Dataset, query: str, mode: SearchMode, first: str) -> None:
    assert names_of(library, query, mode=mode)[0] == first


def test_vector_search_crosses_languages(library: Dataset) -> None:
    assert set(names_of(library, "一只睡着的猫", mode=SearchMode.VECTOR, top_k=2)) == {"cats.txt", "猫.txt"}


def test_text_search_finds_only_chunks_with_a_word(library: Dataset) -> None:
    assert set(names_of(library, "lock the sofa", mode=SearchMode.TEXT)) == {"lock.txt", "cats.txt"}
    assert names_of(library, "zeppelin", mode=SearchMode.TEXT) == []
    assert names_of(library, "!!!", mode=SearchMode.TEXT) == []


def test_rare_words_outweigh_common_ones(dataset: Dataset) -> None:
    for number in range(8):
        add_document(dataset, f"common-{number}.txt", f"queue queue queue number {number}")
    add_document(dataset, "rare.txt", "one queue and one zeppelin among many other words")
    assert names_of(dataset, "queue zeppelin", mode=SearchMode.TEXT)[0] == "rare.txt"


def test_hits_are_limited_by_top_k_and_fifty(dataset: Dataset) -> None:
    add_document(dataset, "long.txt", *(f"Paragraph {n} about queues. " * 30 for n in range(60)))
    assert len(names_of(dataset, "queues", top_k=3)) == 3
    assert len(names_of(dataset, "queues", top_k=1_000)) == 50


@pytest.mark.parametrize("mode", list(SearchMode))
def test_search_never_shows_another_tenants_chunks(library: Dataset, globex_dataset: Dataset, mode: SearchMode) -> None:
    add_document(globex_dataset, "secret.txt", "A cat sleeps on the warm sofa and dreams of world domination.")
    assert "secret.txt" not in names_of(library, "A cat on the sofa", mode=mode, top_k=50)
    assert names_of(globex_dataset, "A cat on the sofa", mode=mode, top_k=50) == ["secret.txt"]
    # Even with the other tenant's dataset at hand, row-level security and the manager's filter apply.
    with tenant_context(globex_dataset.tenant_id):
        assert search_dataset(dataset=library, query="cat", mode=mode) == []


@pytest.mark.parametrize("mode", list(SearchMode))
def test_search_never_leaves_its_dataset(acme: Tenant, library: Dataset, mode: SearchMode) -> None:
    other = create_dataset(tenant=acme, name="other")
    assert names_of(other, "cat", mode=mode) == []


def test_scores_are_between_0_and_1_and_can_have_a_least_value(library: Dataset) -> None:
    with tenant_context(library.tenant_id):
        for mode in SearchMode:
            scores = [hit.score for hit in search_dataset(dataset=library, query="cat on the sofa", mode=mode)]
            assert scores == sorted(scores, reverse=True)
            assert -0.5 < scores[-1] <= scores[0] <= 1.0
    assert names_of(library, "advisory lock released", min_score=0.4) == ["lock.txt"]
    assert names_of(library, "zeppelin over Paris", min_score=0.4) == []
    library.min_score = 0.4
    assert names_of(library, "advisory lock released") == ["lock.txt"]
    assert len(names_of(library, "advisory lock released", min_score=0.0)) > 1


def test_weight_of_words_decides_between_words_and_vectors(library: Dataset) -> None:
    add_document(library, "list.txt", "released, transaction, ends, cat, sofa, mice")
    library.text_weight = 1.0
    by_words = names_of(library, "released transaction cat sofa mice")[0]
    library.text_weight = 0.0
    by_vectors = names_of(library, "released transaction cat sofa mice", mode=SearchMode.VECTOR)
    assert by_words == "list.txt"
    assert names_of(library, "released transaction cat sofa mice") == by_vectors


def test_query_of_rare_words_is_decided_by_words(library: Dataset) -> None:
    with tenant_context(library.tenant_id):
        _, rare = search_module.rank_by_text(library, "XK-4711 zeppelin", 10)
        _, common = search_module.rank_by_text(library, "zeppelin", 10)
    assert (round(rare, 2), common) == (0.67, 0.0)


def test_near_duplicates_are_folded_into_the_better_chunk(library: Dataset) -> None:
    add_document(library, "copy.txt", TEXTS["lock.txt"] + " ")
    options: dict[str, Any] = {"query": "advisory lock transaction", "mode": SearchMode.TEXT}
    with tenant_context(library.tenant_id):
        (hit,) = search_dataset(dataset=library, **options)
        assert {hit.chunk.document.name, *(one.document.name for one in hit.duplicates)} == {"lock.txt", "copy.txt"}
        assert len(search_dataset(dataset=library, is_folded=False, **options)) == 2


def test_several_datasets_are_searched_with_their_own_weights(acme: Tenant, library: Dataset) -> None:
    other = create_dataset(tenant=acme, name="other")
    add_document(other, "cats-too.txt", "Cats like a warm sofa, and so does the dog.")
    for mode in SearchMode:
        with tenant_context(acme):
            hits = search_module.search_datasets(datasets=[library, other], query="a cat on the sofa", mode=mode)
        assert {hit.chunk.document.name for hit in hits[:3]} >= {"cats.txt", "cats-too.txt"}


def test_vectors_of_another_model_are_not_compared(library: Dataset) -> None:
    library.embedding_model = "another"
    with pytest.raises(EmbeddingModelMismatchError):
        names_of(library, "cat")
    assert names_of(library, "cat", mode=SearchMode.TEXT) == ["cats.txt"]


def test_exact_search_is_not_answered_by_an_index(library: Dataset) -> None:
    """Forbid sequential scans, so that an index on the distance would be used."""
    with tenant_context(library.tenant_id), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        parameters = {"vector": str([0.1] * 512), "limit": 5, "tenant_id": library.tenant_id, "dataset_id": library.pk}
        parameters |= {"model": library.embedding_model}
        cursor.execute("EXPLAIN " + search_module._BY_VECTOR_EXACTLY, parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%%hnsw%%'")
        assert cursor.fetchone() == (0,)
    # All are compared and sorted: an index ordered by distance would show an "Order By".
    assert "Sort Key" in plan, plan
    assert "Order By" not in plan, plan


def test_api_returns_chunks_documents_and_locations(acme_api: APIClient, library: Dataset) -> None:
    response = acme_api.post(f"/api/v1/datasets/{library.pk}/search/", {"query": "interest rate", "top_k": 2})
    assert response.status_code == 200, response.content
    first = response.json()["results"][0]
    assert first["document"]["name"] == "rates.txt"
    assert (first["text"], first["location"]) == (TEXTS["rates.txt"], {"line": 1})
    with all_tenants():
        assert Chunk.objects.get(pk=first["chunk"]).document_id
    assert len(response.json()["results"]) == 2
    assert [first["text"][one["start"] : one["end"]] for one in first["highlights"]] == ["interest", "rate"]
    assert (first["dataset"], first["duplicates"]) == (str(library.pk), [])


def test_api_searches_several_datasets(
    acme: Tenant, acme_api: APIClient, library: Dataset, globex_dataset: Dataset
) -> None:
    other = create_dataset(tenant=acme, name="other")
    add_document(other, "copy.txt", TEXTS["rates.txt"])
    body = {"query": "interest rate", "datasets": [str(library.pk), str(other.pk)]}
    response = acme_api.post("/api/v1/datasets/search/", body)
    assert response.status_code == 200, response.content
    first = response.json()["results"][0]
    (duplicate,) = first["duplicates"]
    assert {first["document"]["name"], duplicate["document"]["name"]} == {"rates.txt", "copy.txt"}
    both = acme_api.post("/api/v1/datasets/search/", body | {"fold_duplicates": False, "min_score": 0.5}).json()
    assert {hit["dataset"] for hit in both["results"]} == {str(library.pk), str(other.pk)}
    for datasets, status in (([str(globex_dataset.pk)], 404), ([], 422), ([str(library.pk)] * 11, 422)):
        assert acme_api.post("/api/v1/datasets/search/", body | {"datasets": datasets}).status_code == status


def test_weight_and_least_score_are_settings_of_a_dataset(acme_api: APIClient, dataset: Dataset) -> None:
    url = f"/api/v1/datasets/{dataset.pk}/"
    assert (acme_api.get(url).json()["text_weight"], acme_api.get(url).json()["min_score"]) == (None, None)
    changed = acme_api.patch(url, {"text_weight": 0.7, "min_score": 0.25}).json()
    assert (changed["text_weight"], changed["min_score"]) == (0.7, 0.25)
    assert acme_api.patch(url, {"text_weight": None}).json()["text_weight"] is None
    for body in ({"text_weight": 1.1}, {"text_weight": "0.5"}, {"min_score": -0.1}):
        assert acme_api.patch(url, body).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": ""},
        {"query": "x" * 1_001},
        {"query": 7},
        {"query": "x", "top_k": 0},
        {"query": "x", "top_k": 51},
        {"query": "x", "top_k": "5"},
        {"query": "x", "mode": "magic"},
        {"query": "x", "limit": 5},
        {"query": "x", "min_score": 1.5},
        {"query": "x", "min_score": "0.5"},
        {"query": "x", "fold_duplicates": 3},
    ],
)
def test_invalid_question_is_422(acme_api: APIClient, dataset: Dataset, body: dict[str, Any]) -> None:
    response = acme_api.post(f"/api/v1/datasets/{dataset.pk}/search/", body)
    assert (response.status_code, response["Content-Type"]) == (422, "application/problem+json")


def test_dataset_of_another_tenant_is_404_for_every_method(globex_api: APIClient, library: Dataset) -> None:
    url = f"/api/v1/datasets/{library.pk}/"
    assert globex_api.post(url + "search/", {"query": "cat"}).status_code == 404
    assert globex_api.get(url).status_code == 404
    assert globex_api.patch(url, {"name": "mine"}).status_code == 404
    assert globex_api.delete(url).status_code == 404
    assert globex_api.get("/api/v1/datasets/").json()["results"] == []


# Parents and children.


@pytest.fixture
def parents(acme: Tenant) -> Dataset:
    dataset = create_dataset(tenant=acme, name="parents", chunking="parent_child", chunk_size=20, parent_size=80)
    add_document(
        dataset, "guide.txt", *(f"{text} " + "It is true on most days of the year. " * 6 for text in TEXTS.values())
    )
    return dataset


def test_child_is_found_and_its_parent_is_returned(parents: Dataset) -> None:
    with tenant_context(parents.tenant_id):
        hits = search_dataset(dataset=parents, query="invoice XK-4711", mode=SearchMode.TEXT)
        chunks = list(Chunk.objects.order_by("position"))
    hit = hits[0]
    first, last = hit.chunk.location["parent"]
    assert last > first
    assert "XK-4711" in hit.chunk.text
    assert hit.text != hit.chunk.text
    # The parent has every word of its chunks once, in order.
    family = [chunk.text for chunk in chunks[first : last + 1]]
    assert hit.text.split() == " ".join(family).split()
    assert [hit.text[start:end] for start, end in hit.highlights] == ["Invoice", "XK", "4711"]


def test_parent_is_found_once_by_all_its_children(parents: Dataset) -> None:
    with tenant_context(parents.tenant_id):
        for is_folded in (True, False):
            hits = search_dataset(dataset=parents, query="true days of the year", is_folded=is_folded)
            found = [(hit.chunk.document_id, *hit.chunk.location["parent"]) for hit in hits]
            assert len(found) == len(set(found)) > 2


def test_parent_has_the_present_texts_of_its_enabled_children(parents: Dataset) -> None:
    with tenant_context(parents.tenant_id):
        before = search_dataset(dataset=parents, query="XK-4711", mode=SearchMode.TEXT)[0]
        first, last = before.chunk.location["parent"]
        others = Chunk.objects.filter(position__range=(first, last)).exclude(pk=before.chunk.pk)
        off = others.order_by("-position").first()
        assert off is not None
        Chunk.objects.filter(pk=off.pk).update(is_enabled=False)
        Chunk.objects.filter(pk=before.chunk.pk).update(text="Invoice XK-4711 is paid.")
        after = search_dataset(dataset=parents, query="XK-4711", mode=SearchMode.TEXT)[0]
    assert "Invoice XK-4711 is paid." in after.text
    assert len(after.text) < len(before.text)
    assert off.text not in after.text or before.text.count(off.text) > 1


def test_api_returns_the_text_of_the_parent(parents: Dataset, acme_api: APIClient) -> None:
    body = {"query": "XK-4711", "mode": "text"}
    (hit, *_) = acme_api.post(f"/api/v1/datasets/{parents.pk}/search/", body, format="json").json()["results"]
    assert len(hit["text"]) > 200
    assert len(hit["location"]["parent"]) == 2
