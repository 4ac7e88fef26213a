from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from django.core.exceptions import ImproperlyConfigured

from scheduling.processors.base import PermanentError, TransientError
from scheduling.processors.retrieval.embedding import (
    DIMENSIONS,
    ApiEmbedder,
    LocalEmbedder,
    get_embedder,
    normalise,
)


@pytest.fixture(scope="module")
def local() -> LocalEmbedder:
    return LocalEmbedder()


def test_the_local_model_gives_vectors_of_length_one(local: LocalEmbedder) -> None:
    vectors = local.embed(["A queue.", "队列", ""])
    assert vectors.shape == (3, DIMENSIONS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_local_model_brings_two_languages_together(local: LocalEmbedder) -> None:
    english, chinese, other = local.embed(["The cat sleeps on the sofa.", "猫在沙发上睡觉。", "Interest rates rose."])
    assert english @ chinese > english @ other + 0.2


def test_a_batch_gives_what_single_texts_give(local: LocalEmbedder) -> None:
    texts = ["one", "a longer sentence about queues", "公平"]
    assert np.allclose(local.embed(texts), np.vstack([local.embed([text]) for text in texts]), atol=1e-5)


def test_a_row_of_zeros_is_left_alone() -> None:
    assert not normalise(np.zeros((1, DIMENSIONS), dtype=np.float32)).any()


def endpoint(answer: Callable[[httpx.Request], httpx.Response]) -> ApiEmbedder:
    return ApiEmbedder(url="https://embed.test/v1/", key="k", model="m", transport=httpx.MockTransport(answer))


def test_an_endpoint_is_asked_once_and_its_rows_are_put_in_order() -> None:
    asked: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        assert request.url == "https://embed.test/v1/embeddings"
        assert request.headers["Authorization"] == "Bearer k"
        rows = [[0.0, 2.0] + [0.0] * 510, [3.0] + [0.0] * 511]
        return httpx.Response(
            200, json={"data": [{"index": 1, "embedding": rows[0]}, {"index": 0, "embedding": rows[1]}]}
        )

    vectors = endpoint(answer).embed(["a", "b"])
    assert asked == [{"model": "m", "input": ["a", "b"], "dimensions": 512}]
    assert vectors[0, 0] == vectors[1, 1] == 1


@pytest.mark.parametrize(
    ("response", "error", "code"),
    [
        (httpx.Response(429, headers={"Retry-After": "7"}), TransientError, "embedding_unavailable"),
        (httpx.Response(503), TransientError, "embedding_unavailable"),
        (httpx.Response(401), PermanentError, "embedding_refused"),
        (httpx.Response(200, json={"data": []}), PermanentError, "embedding_shape"),  # too few rows
        (httpx.Response(200, json={"data": [{"index": 0, "embedding": [1.0]}]}), PermanentError, "embedding_shape"),
        (httpx.Response(200, json=[]), PermanentError, "embedding_shape"),
        (httpx.Response(200, text="<html>"), PermanentError, "embedding_shape"),
    ],
)
def test_an_endpoint_that_fails_is_told_by_kind(response: httpx.Response, error: type[Exception], code: str) -> None:
    with pytest.raises(error) as caught:
        endpoint(lambda request: response).embed(["a"])
    assert caught.value.code == code  # type: ignore[attr-defined]


def test_an_endpoint_says_when_to_come_back() -> None:
    with pytest.raises(TransientError) as caught:
        endpoint(lambda request: httpx.Response(429, headers={"Retry-After": "7"})).embed(["a"])
    assert caught.value.retry_after_seconds == 7


def test_an_endpoint_out_of_reach_is_transient() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(TransientError, match="out of reach"):
        endpoint(refuse).embed(["a"])


def test_an_unknown_provider_or_an_endpoint_without_a_model_is_a_configuration_error(settings: Any) -> None:
    settings.EMBEDDING_PROVIDER = "elsewhere"
    get_embedder.cache_clear()
    with pytest.raises(ImproperlyConfigured, match="local, openai"):
        get_embedder()
    with pytest.raises(ImproperlyConfigured, match="EMBEDDING_MODEL"):
        ApiEmbedder(url="https://embed.test", key="", model="")
