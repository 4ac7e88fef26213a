"""The local embedder, and the embedder of an API with a replaced HTTP client."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from scheduling.kit.base import DependencyRefusedError, PermanentError, TransientError
from scheduling.kit.http import Answer, NoAnswerError
from workloads.documents import embedding
from workloads.documents.embedding import ApiEmbedder, LocalEmbedder, normalise, text_to_embed
from workloads.model_endpoints.endpoints import ModelConfiguration


@pytest.fixture(scope="module")
def local() -> LocalEmbedder:
    return LocalEmbedder()


def test_local_model_returns_vectors_of_length_one(local: LocalEmbedder) -> None:
    vectors = local.embed(["A queue.", "队列", ""])
    assert vectors.shape == (3, 512)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_local_model_places_two_languages_close_together(local: LocalEmbedder) -> None:
    english, chinese, other = local.embed(["The cat sleeps on the sofa.", "猫在沙发上睡觉。", "Interest rates rose."])
    assert english @ chinese > english @ other + 0.2


def test_batch_gives_the_same_vectors_as_single_texts(local: LocalEmbedder) -> None:
    texts = ["one", "a longer sentence about queues", "公平"]
    assert np.allclose(local.embed(texts), np.vstack([local.embed([text]) for text in texts]), atol=1e-5)


def test_row_of_zeros_is_unchanged() -> None:
    assert not normalise(np.zeros((1, 8), dtype=np.float32)).any()


class Endpoint:
    """Endpoint with a configured response or error, and its recorded requests."""

    def __init__(self, answer: Answer | Exception, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.embedder = ApiEmbedder(
            ModelConfiguration("https://embed.test/v1", "m", "k", endpoint="m", is_shared=True, dimensions=512)
        )

        def send(method: str, url: str, **options: Any) -> Answer:
            self.asked.append((method, url, dict(options["headers"]), json.loads(options["body"])))
            assert options["is_url_by_operator"]
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr("workloads.model_endpoints.embeddings.send", send)


def answer(status: int, content: Any = None, **headers: str) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer(status, [(name.replace("_", "-"), value) for name, value in headers.items()], body)


def test_endpoint_is_called_once_and_its_rows_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[0.0, 2.0] + [0.0] * 510, [3.0] + [0.0] * 511]
    data = [{"index": 1, "embedding": rows[0]}, {"index": 0, "embedding": rows[1]}]
    endpoint = Endpoint(answer(200, {"data": data}), monkeypatch)
    vectors = endpoint.embedder.embed(["a", "b"])
    [(method, url, headers, body)] = endpoint.asked
    assert (method, url) == ("POST", "https://embed.test/v1/embeddings")
    assert headers == {"Content-Type": "application/json", "Authorization": "Bearer k"}
    assert body == {"model": "m", "input": ["a", "b"], "dimensions": 512}
    assert vectors[0, 0] == vectors[1, 1] == 1


@pytest.mark.parametrize(
    ("response", "error", "code"),
    [
        (answer(429, retry_after="7"), TransientError, "embedding_rate_limited"),
        (answer(503), TransientError, "embedding_unavailable"),
        (answer(401), DependencyRefusedError, "dependency_refused"),
        (answer(404), PermanentError, "embedding_refused"),
        (answer(302, location="http://127.0.0.1/"), PermanentError, "embedding_refused"),
        (answer(200, {"data": []}), PermanentError, "embedding_answer_invalid"),  # too few rows
        (answer(200, {"data": [{"index": 0, "embedding": [1.0]}]}), PermanentError, "embedding_answer_invalid"),
        (answer(200, []), PermanentError, "embedding_answer_invalid"),
        (answer(200, b"<html>"), PermanentError, "embedding_answer_invalid"),
        (answer(200, b"[" * 100_000), PermanentError, "embedding_answer_invalid"),
    ],
)
def test_error_of_endpoint_has_its_type_and_code(
    response: Answer, error: type[Exception], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(error) as caught:
        Endpoint(response, monkeypatch).embedder.embed(["a"])
    assert caught.value.code == code  # type: ignore[attr-defined]


def test_retry_after_of_endpoint_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransientError) as caught:
        Endpoint(answer(429, retry_after="7"), monkeypatch).embedder.embed(["a"])
    assert caught.value.retry_after_seconds == 7


@pytest.mark.parametrize("status", [200, 400, 429])
def test_message_of_endpoint_is_kept_and_its_rate_limit_obeyed(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"error": {"message": "40 requests a minute", "code": "rate_limit_exceeded"}}
    with pytest.raises(embedding.EndpointRateLimitedError, match="40 requests a minute") as caught:
        Endpoint(answer(status, body, retry_after="7"), monkeypatch).embedder.embed(["a"])
    assert caught.value.retry_after_seconds == 7


def test_unreachable_endpoint_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        Endpoint(NoAnswerError("refused"), monkeypatch).embedder.embed(["a"])


def test_text_is_embedded_below_its_headings() -> None:
    assert text_to_embed("It is 10 s.", {"heading": ["Workers", "Lease"], "line": 3}) == "Workers › Lease\nIt is 10 s."
    assert text_to_embed("x", {"heading": ["Guide", "Workers", "Lease"]}) == "Workers › Lease\nx"
    assert text_to_embed("It is 10 s.", {"line": 3}) == "It is 10 s."
    assert len(text_to_embed("x", {"heading": ["y" * 5_000]})) == 402
