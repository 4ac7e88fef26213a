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


def embed(model: ModelConfiguration, texts: Sequence[str], *, limits: Limits) -> tuple[list[list[float]], int]:
    """Return the vector of each text, and the tokens: as the endpoint counts them, else a quarter of the characters.

    Raise `TransientError` for errors that may pass, `DependencyRefusedError` if the endpoint refuses every request,
    and `PermanentError` for the rest.
    """
    answer = send(
        "POST",
        f"{model.url}/embeddings",
        headers=model.headers,
        body=json.dumps({"model": model.model, "input": list(texts), "dimensions": model.dimensions}).encode(),
        limits=limits,
        is_url_by_operator=model.is_shared,
    )
    name = EndpointName("model endpoint", "model")
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
        raise PermanentError("The model endpoint returned an invalid response.", code="model_answer_invalid") from error
    lengths = {len(vector) for vector in vectors}
    if len(vectors) != len(texts) or lengths != {model.dimensions}:
        raise PermanentError(
            f"The model endpoint returned {len(vectors)} vectors of {' or '.join(map(str, sorted(lengths)))} numbers "
            f"for {len(texts)} texts; each must have {model.dimensions}.",
            code="model_answer_invalid",
        )
    if not all(math.isfinite(number) for vector in vectors for number in vector):
        raise PermanentError("The model endpoint returned a number that is not finite.", code="model_answer_invalid")
    estimate = sum(map(len, texts)) // CHARACTERS_PER_TOKEN
    return vectors, counted if isinstance(counted, int) and counted >= 0 else estimate
