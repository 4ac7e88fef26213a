"""Searches whose results an endpoint re-ranks, with and without it, and their evaluation."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.integration.workloads.documents.conftest import add_document
from tests.model_server import model_server
from tests.platform_settings import ChangePlatformSettings
from workloads.documents import reranking
from workloads.documents.models import Dataset

QUERY = "which line has the jobs"


@pytest.fixture
def library(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr(reranking, "_resumes_at", 0.0)
    add_document(dataset, "words.txt", "jobs jobs jobs line jobs")
    add_document(dataset, "answer.txt", "A line is which has the tasks")
    add_document(dataset, "other.txt", "Nothing of the kind")
    return dataset


def search(api: APIClient, dataset: Dataset, **body: Any) -> Any:
    path = f"/api/v1/datasets/{dataset.pk}/search/"
    answer = api.post(path, {"query": QUERY, "mode": "text"} | body, format="json")
    assert answer.status_code == 200, answer.json()
    return answer.json()


def names(answer: Any) -> list[str]:
    return [hit["document"]["name"] for hit in answer["results"]]


def test_endpoint_decides_the_order(
    acme_api: APIClient, library: Dataset, change_platform_settings: ChangePlatformSettings
) -> None:
    assert names(search(acme_api, library)) == ["words.txt", "answer.txt"]
    with model_server() as server:
        change_platform_settings(RERANK_URL=f"{server.url}/rerank")
        plain = search(acme_api, library)
        assert (names(plain), plain["reranked"], server.asked) == (["words.txt", "answer.txt"], False, [])
        reranked = search(acme_api, library, rerank=True)
        assert names(reranked) == ["answer.txt", "words.txt"]
        assert (reranked["reranked"], reranked["rerank_reason"]) == (True, "")
        assert "reranking" in reranked["milliseconds"]
        assert names(search(acme_api, library, rerank=True, top_k=1)) == ["answer.txt"]
        acme_api.patch(f"/api/v1/datasets/{library.pk}/", {"is_reranked": True}, format="json")
        assert search(acme_api, library)["reranked"]
        assert not search(acme_api, library, rerank=False)["reranked"]


def test_failing_endpoint_leaves_the_search_with_its_own_order(
    acme_api: APIClient, library: Dataset, change_platform_settings: ChangePlatformSettings
) -> None:
    without = search(acme_api, library, rerank=True)
    assert (without["reranked"], without["rerank_reason"]) == (False, "rerank_not_configured")
    with model_server() as server:
        change_platform_settings(RERANK_URL=f"{server.url}/rerank")
        server.fail_next(500)
        failed = search(acme_api, library, rerank=True)
    assert names(failed) == names(without) == ["words.txt", "answer.txt"]
    assert (failed["reranked"], failed["rerank_reason"]) == (False, "rerank_unavailable")
    assert search(acme_api, library, rerank=True)["rerank_reason"] == "rerank_paused"
