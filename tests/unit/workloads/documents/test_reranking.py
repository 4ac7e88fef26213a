"""Re-ranking with a listening endpoint of each form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scheduling.kit.base import PermanentError, TransientError
from tests.model_server import ModelServer, model_server
from tests.platform_settings import ChangePlatformSettings
from workloads.documents import reranking
from workloads.documents.reranking import CANDIDATES, Reranking, order_by_endpoint, rerank

TEXTS = ["nothing of the kind", "a queue", "a queue is a line of jobs"]
BEST_FIRST = [2, 1, 0]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranking, "_resumes_at", 0.0)


def use(server: ModelServer, change: ChangePlatformSettings, *, model: str = "", key: str = "") -> None:
    change(RERANK_URL=f"{server.url}/rerank", RERANK_MODEL=model, RERANK_KEY=key)


def test_endpoint_without_a_model_is_asked_as_text_embeddings_inference(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    with model_server() as server:
        use(server, change_platform_settings)
        assert order_by_endpoint("a line of jobs in a queue", TEXTS) == BEST_FIRST
    [asked] = server.asked
    assert asked.path == "/v1/rerank"
    assert asked.body == {"query": "a line of jobs in a queue", "texts": TEXTS, "truncate": True}
    assert "Authorization" not in asked.headers


def test_endpoint_with_a_model_is_asked_as_cohere_and_jina(change_platform_settings: ChangePlatformSettings) -> None:
    with model_server() as server:
        use(server, change_platform_settings, model="rerank-1", key="secret")
        assert order_by_endpoint("a line of jobs in a queue", TEXTS) == BEST_FIRST
    [asked] = server.asked
    assert asked.body == {
        "model": "rerank-1",
        "query": "a line of jobs in a queue",
        "documents": TEXTS,
        "top_n": len(TEXTS),
    }
    assert asked.headers["Authorization"] == "Bearer secret"


def test_only_the_best_are_sent_and_their_text_is_bounded(change_platform_settings: ChangePlatformSettings) -> None:
    texts = [f"{number} " + "x" * 5_000 for number in range(CANDIDATES + 3)]
    with model_server() as server:
        use(server, change_platform_settings)
        server.answer_next([{"index": number, "score": number} for number in range(CANDIDATES)])
        order = order_by_endpoint("q", texts)
    assert order == [*reversed(range(CANDIDATES)), CANDIDATES, CANDIDATES + 1, CANDIDATES + 2]
    assert {len(text) for text in server.asked[0].body["texts"]} == {2_000}


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        {"results": None},
        {"rows": []},
        "text",
        [1, 2, 3],
        [{"index": 0, "score": 1}],
        [{"index": number, "score": "x"} for number in range(3)],
        [{"index": number + 1, "score": 1} for number in range(3)],
        [{"index": [], "score": 1}],
        json.dumps([{"index": number, "score": float("nan")} for number in range(3)]).encode(),
    ],
    ids=["no-json", "null", "other-key", "text", "numbers", "too-few", "no-number", "other-index", "list", "nan"],
)
def test_invalid_response_is_refused(body: Any, change_platform_settings: ChangePlatformSettings) -> None:
    with model_server() as server:
        use(server, change_platform_settings)
        server.answer_next(body)
        with pytest.raises(PermanentError) as caught:
            order_by_endpoint("q", TEXTS)
    assert caught.value.code == "rerank_shape"


def test_failing_endpoint_keeps_the_order_and_is_left_alone_for_a_while(
    change_platform_settings: ChangePlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model_server() as server:
        use(server, change_platform_settings)
        server.fail_next(503)
        outcome = Reranking()
        assert rerank("q", TEXTS, outcome) == [0, 1, 2]
        assert outcome == Reranking(is_done=False, reason="rerank_unavailable")
        outcome = Reranking()
        assert rerank("q", TEXTS, outcome) == [0, 1, 2]
        assert outcome.reason == "rerank_paused"
        assert len(server.asked) == 1
        monkeypatch.setattr(reranking, "_resumes_at", 0.0)
        outcome = Reranking()
        assert rerank("a line of jobs in a queue", TEXTS, outcome) == BEST_FIRST
        assert outcome == Reranking(is_done=True)


def test_refused_request_does_not_pause_the_others(change_platform_settings: ChangePlatformSettings) -> None:
    with model_server() as server:
        use(server, change_platform_settings)
        server.fail_next(413)
        outcome = Reranking()
        assert rerank("q", TEXTS, outcome) == [0, 1, 2]
        assert outcome.reason.startswith("rerank_")
        outcome = Reranking()
        rerank("q", TEXTS, outcome)
        assert outcome.is_done


def test_slow_endpoint_is_given_up(
    change_platform_settings: ChangePlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reranking, "_MOST_SECONDS", 0.2)
    with model_server(delay_seconds=1.0) as server:
        use(server, change_platform_settings)
        with pytest.raises(TransientError) as caught:
            order_by_endpoint("q", TEXTS)
    assert caught.value.code == "rerank_unreachable"


def test_search_without_an_endpoint_states_that(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(RERANK_URL="")
    outcome = Reranking()
    assert rerank("q", TEXTS, outcome) == [0, 1, 2]
    assert outcome.reason == "rerank_not_configured"
