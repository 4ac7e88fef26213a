"""The embedder with a listening endpoint of OpenAI's API."""

from __future__ import annotations

import numpy as np
import pytest
from django.core.exceptions import ImproperlyConfigured

from scheduling.kit.base import PermanentError, TransientError
from tests.model_server import embed_text, model_server
from workloads.documents.embedding import DIMENSIONS, ApiEmbedder, EndpointRateLimitedError

TEXTS = ["a queue is a line", "nothing of the kind"]


@pytest.mark.parametrize("dimensions", [512, 384, 1])
def test_shorter_vectors_are_padded_and_keep_their_products(dimensions: int) -> None:
    with model_server() as server:
        embedder = ApiEmbedder(url=server.url, key="secret", model="m", dimensions=dimensions)
        vectors = embedder.embed(TEXTS)
    assert vectors.shape == (2, DIMENSIONS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    first, second = (np.asarray(embed_text(text, dimensions)) for text in TEXTS)
    assert float(vectors[0] @ vectors[1]) == pytest.approx(float(first @ second), abs=1e-5)
    [asked] = server.asked
    assert asked.body == {"model": "m", "input": TEXTS, "dimensions": dimensions}
    assert asked.headers["Authorization"] == "Bearer secret"


def test_endpoint_configured_without_dimensions_receives_none() -> None:
    with model_server() as server:
        vectors = ApiEmbedder(url=server.url, key="", model="m", dimensions=0).embed(TEXTS)
    assert vectors.shape == (2, DIMENSIONS)
    assert "dimensions" not in server.asked[0].body
    assert "Authorization" not in server.asked[0].headers


def test_models_of_different_dimensions_have_different_names() -> None:
    names = {
        ApiEmbedder(url="http://x.test", key="", model="m", dimensions=number).name for number in (0, 256, 384, 512)
    }
    assert len(names) == 4
    assert "m" in names
    for wrong in (-1, 513):
        with pytest.raises(ImproperlyConfigured):
            ApiEmbedder(url="http://x.test", key="", model="m", dimensions=wrong)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry_after": "7"}, 7), ({}, 5), ({"retry_after": "0"}, 1), ({"retry_after": "9999"}, 300)],
)
def test_rate_limited_endpoint_states_its_wait(headers: dict[str, str], seconds: float) -> None:
    with model_server() as server:
        embedder = ApiEmbedder(url=server.url, key="", model="m")
        server.fail_next(429, **headers)
        with pytest.raises(EndpointRateLimitedError) as caught:
            embedder.embed(TEXTS)
        assert caught.value.seconds == seconds
        assert len(embedder.embed(TEXTS)) == 2


def test_failing_endpoint_is_transient_and_refusing_one_permanent() -> None:
    with model_server() as server:
        embedder = ApiEmbedder(url=server.url, key="", model="m")
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
