"""Embeddings by `POST …/embeddings` of a listed model, each with the model's dimensions."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from scheduling.kit.base import PermanentError
from scheduling.kit.http import Limits, send
from workloads.model_endpoints.answers import CHARACTERS_PER_TOKEN
from workloads.model_endpoints.endpoints import ModelConfiguration
from workloads.model_endpoints.refusals import EndpointName, body_has_error, error_of

MODEL_ENDPOINT = EndpointName("model endpoint", "model")


def embed(
    model: ModelConfiguration, texts: Sequence[str], *, limits: Limits, name: EndpointName = MODEL_ENDPOINT
) -> tuple[list[list[float]], int]:
    """Return the vector of each text, and the tokens: as the endpoint counts them, else a quarter of the characters.

    ``name`` is how errors name the endpoint.

    Raise `TransientError` for errors that may pass, `DependencyRefusedError` if the endpoint refuses every request,
    and `PermanentError` for the rest.
    """
    dimensions = {"dimensions": model.dimensions} if model.sends_dimensions else {}
    answer = send(
        "POST",
        f"{model.url}/embeddings",
        headers=model.headers,
        body=json.dumps({"model": model.model, "input": list(texts), **dimensions}).encode(),
        limits=limits,
        is_url_by_operator=model.is_shared,
    )
    if answer.status != 200:
        raise error_of(name, answer.status, answer.body, retry_after_seconds=answer.retry_after_seconds)
    try:
        content = json.loads(answer.body)
        if body_has_error(content):
            raise error_of(name, 200, content, retry_after_seconds=answer.retry_after_seconds)
        rows = sorted(content["data"], key=lambda row: row["index"])
        vectors = [[float(number) for number in row["embedding"]] for row in rows]
        counted: Any = (content.get("usage") or {}).get("total_tokens")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _invalid(name, "an invalid response") from error
    lengths = {len(vector) for vector in vectors}
    if len(vectors) != len(texts) or lengths != {model.dimensions}:
        counts = " or ".join(map(str, sorted(lengths)))
        raise _invalid(
            name,
            f"{len(vectors)} vectors of {counts} numbers for {len(texts)} texts; each must have {model.dimensions}",
        )
    if not all(math.isfinite(number) for vector in vectors for number in vector):
        raise _invalid(name, "a number that is not finite")
    estimate = sum(map(len, texts)) // CHARACTERS_PER_TOKEN
    return vectors, counted if isinstance(counted, int) and counted >= 0 else estimate


def _invalid(name: EndpointName, what: str) -> PermanentError:
    return PermanentError(f"The {name.title} returned {what}.", code=f"{name.code}_answer_invalid")
