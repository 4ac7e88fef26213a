"""Re-ranking: an endpoint scores the best results of a search for its query, and its scores decide their order.

An endpoint without a model name is asked as Text Embeddings Inference is, one with a name as Cohere and Jina are.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scheduling.kit.base import Dependency, PermanentError, TransientError
from tenants.database.platform_settings import platform_settings
from workloads.model_endpoints.refusals import EndpointName, body_has_error, error_of

# Results that are scored: as many as Text Embeddings Inference takes in one request unless configured otherwise.
CANDIDATES = 32
# Characters of a text that are sent.
_MAX_TEXT_LENGTH = 2_000
# A search does not wait longer; after a failure, searches of this process do without for a while.
_MOST_SECONDS, _PAUSE_SECONDS = 5.0, 15.0
RERANK = Dependency("rerank", is_shared=True)
_resumes_at = 0.0


@dataclass(slots=True)
class Reranking:
    """Whether the results of a search were re-ranked; if they should have been, ``reason`` is the code of why not."""

    is_done: bool = False
    reason: str = ""


def reranker_name() -> str:
    """Return the name of the configured model, `default` if it has none, or an empty string without an endpoint."""
    return (platform_settings.RERANK_MODEL or "default") if platform_settings.RERANK_URL else ""


def rerank(query: str, texts: Sequence[str], outcome: Reranking) -> list[int]:
    """Return the positions of the texts, best first, and note in ``outcome`` what happened.

    After a failure, and without an endpoint, they keep their order. Call it without holding locks in the database.
    """
    global _resumes_at  # noqa: PLW0603 - of this process
    positions = list(range(len(texts)))
    if not reranker_name():
        outcome.reason = "rerank_not_configured"
    elif time.monotonic() < _resumes_at:
        outcome.reason = "rerank_paused"
    elif texts:
        try:
            positions = order_by_endpoint(query, texts)
            outcome.is_done = True
        except (TransientError, PermanentError) as error:
            outcome.reason = error.code
            if isinstance(error, TransientError):
                _resumes_at = time.monotonic() + _PAUSE_SECONDS
    return positions


def order_by_endpoint(query: str, texts: Sequence[str]) -> list[int]:
    """Return the positions of the texts, best first: the first 32 by their scores, then the others in their order.

    Raise `TransientError` or `PermanentError` if the endpoint fails.
    """
    if not texts:
        return []
    scores = _ask(query, [text[:_MAX_TEXT_LENGTH] or " " for text in texts[:CANDIDATES]])
    scored = sorted(range(len(scores)), key=lambda position: -scores[position])
    return [*scored, *range(len(scored), len(texts))]


def _ask(query: str, texts: list[str]) -> list[float]:
    """Return the scores of the texts."""
    from scheduling.kit.http import Limits, NoAnswerError, send

    model, key = platform_settings.RERANK_MODEL, platform_settings.RERANK_KEY
    if model:
        body: dict[str, Any] = {"model": model, "query": query, "documents": texts, "top_n": len(texts)}
    else:
        body = {"query": query, "texts": texts, "truncate": True}
    headers = [("Content-Type", "application/json"), *([("Authorization", f"Bearer {key}")] if key else [])]
    limits = Limits(connect_seconds=2.0, read_seconds=_MOST_SECONDS, total_seconds=_MOST_SECONDS)
    try:
        answer = send(
            "POST",
            platform_settings.RERANK_URL,
            headers=headers,
            body=json.dumps(body).encode(),
            limits=limits,
            is_url_by_operator=True,
        )
    except NoAnswerError as error:
        message = f"The re-ranking endpoint cannot be reached: {error}"
        raise TransientError(message, code="rerank_unreachable") from error
    name = EndpointName("re-ranking endpoint", "rerank", key)
    if answer.status != 200:
        raise error_of(name, answer.status, answer.body, retry_after_seconds=answer.retry_after_seconds)
    try:
        content = json.loads(answer.body)
        if body_has_error(content):
            raise error_of(name, 200, content, retry_after_seconds=answer.retry_after_seconds)
        return _read_scores(content, len(texts))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise PermanentError("The re-ranking endpoint returned an invalid response.", code="rerank_shape") from error


def _read_scores(content: Any, texts: int) -> list[float]:
    """Return the score of each text from a response of either form; raise ValueError if one lacks or is no number."""
    rows = content["results"] if isinstance(content, dict) else content
    scores = {row["index"]: float(row["relevance_score" if "relevance_score" in row else "score"]) for row in rows}
    if scores.keys() != set(range(texts)) or not all(map(math.isfinite, scores.values())):
        raise ValueError("Not one score for each text.")
    return [scores[position] for position in range(texts)]
