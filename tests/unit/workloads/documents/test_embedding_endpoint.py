"""The embedder with a listening endpoint of OpenAI's API."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scheduling.kit.base import PermanentError, TransientError
from tests.model_server import embed_text, model_server
from workloads.documents.embedding import ApiEmbedder, EndpointRateLimitedError
from workloads.model_endpoints.endpoints import ModelConfiguration

TEXTS = ["a queue is a line", "nothing of the kind"]


def embedder_at(url: str, **options: Any) -> ApiEmbedder:
    options = {"key": "", "model": "m", "dimensions": 512} | options
    return ApiEmbedder(ModelConfiguration(url, endpoint="m", is_shared=True, **options))


@pytest.mark.parametrize("dimensions", [1, 384, 512, 3_072, 4_000])
def test_vectors_have_the_dimensions_of_the_model_and_length_one(dimensions: int) -> None:
    with model_server() as server:
        vectors = embedder_at(server.url, key="secret", dimensions=dimensions).embed(TEXTS)
    assert vectors.shape == (2, dimensions)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    first, second = (np.asarray(embed_text(text, dimensions)) for text in TEXTS)
    assert float(vectors[0] @ vectors[1]) == pytest.approx(float(first @ second), abs=1e-5)
    [asked] = server.asked
    assert asked.body == {"model": "m", "input": TEXTS, "dimensions": dimensions}
    assert asked.headers["Authorization"] == "Bearer secret"


def test_endpoint_that_refuses_dimensions_receives_none() -> None:
    with model_server() as server:
        vectors = embedder_at(server.url, sends_dimensions=False).embed(TEXTS)
    assert vectors.shape == (2, 512)
    assert "dimensions" not in server.asked[0].body
    assert "Authorization" not in server.asked[0].headers


def test_vectors_of_other_dimensions_are_refused() -> None:
    with model_server() as server, pytest.raises(PermanentError, match=r"512 numbers .* must have 256") as refused:
        embedder_at(server.url, dimensions=256, sends_dimensions=False).embed(TEXTS)
    assert refused.value.code == "embedding_answer_invalid"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry_after": "7"}, 7), ({}, 5), ({"retry_after": "0"}, 1), ({"retry_after": "9999"}, 300)],
)
def test_rate_limited_endpoint_states_its_wait(headers: dict[str, str], seconds: float) -> None:
    with model_server() as server:
        embedder = embedder_at(server.url)
        server.fail_next(429, **headers)
        with pytest.raises(EndpointRateLimitedError) as caught:
            embedder.embed(TEXTS)
        assert caught.value.seconds == seconds
        assert len(embedder.embed(TEXTS)) == 2


def test_failing_endpoint_is_transient_and_refusing_one_permanent() -> None:
    with model_server() as server:
        embedder = embedder_at(server.url)
        server.fail_next(503, retry_after="3")
        with pytest.raises(TransientError) as caught:
            embedder.embed(TEXTS)
        assert (caught.value.code, caught.value.retry_after_seconds) == ("embedding_unavailable", 3)
        server.fail_next(404)
        with pytest.raises(PermanentError) as refused:
            embedder.embed(TEXTS)
        assert refused.value.code == "embedding_refused"
    with pytest.raises(TransientError) as gone:
        embedder.embed(TEXTS)
    assert gone.value.code == "embedding_unreachable"
