"""Nodes of type `embedding`: they turn texts into vectors.

The model is that of the endpoint that the node names, else one that datasets have: the one named, or that of new ones.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from scheduling.kit.base import PermanentError
from workloads.documents.embedding_models import require_model
from workloads.documents.tenant_settings import default_model
from workloads.model_endpoints.answers import CHARACTERS_PER_TOKEN
from workloads.model_endpoints.embeddings import embed
from workloads.model_endpoints.endpoints import PLATFORM
from workloads.model_endpoints.lookup import get_model
from workloads.model_endpoints.models import ModelUse
from workloads.model_endpoints.usage import AnsweredRequest
from workloads.workflows.nodes.knowledge_retrieval import EMBEDDING_THREADS
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode

MAX_TEXTS: Final = 32
# Digits of a number after the point: more than the models have, in a third of the size.
_DIGITS: Final = 7


def prepare(place: NodeContext) -> PreparedNode:
    """Return the embedding, which is done in a thread; raise `PermanentError` unless it is of 1 to 32 texts."""
    given = place.reading.evaluate(place.config["texts"])
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise PermanentError("The texts are neither a text nor a list of texts.", code="texts_invalid")
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise PermanentError(f"There are {len(texts):,} texts; 1 to {MAX_TEXTS} are allowed.", code="texts_invalid")
    if place.config.get("endpoint", PLATFORM) != PLATFORM:
        return _prepare_named(place, texts)
    model = require_model(place.job.tenant_id, place.config.get("model") or default_model(place.job.settings))
    embedder = model.make()

    async def embed_by_platform() -> NodeOutput:
        vectors = await asyncio.get_running_loop().run_in_executor(EMBEDDING_THREADS, embedder.embed, texts)
        place.usage.extend(embedder.take_usage())
        return _output(vectors.tolist(), model.dimensions, model.name)

    return PreparedNode(inputs={"texts": len(texts)}, later=embed_by_platform, dependency=embedder.dependency)


def _prepare_named(place: NodeContext, texts: list[str]) -> PreparedNode:
    """Return the embedding by the model of an endpoint; raise `PostponedError` if a limit lets the node wait."""
    named = {name: place.config.get(name, "") for name in ("endpoint", "model")}
    model = get_model(place.job.tenant_id, **named, use=ModelUse.EMBEDDING)
    admitted = sum(map(len, texts)) // CHARACTERS_PER_TOKEN
    place.admit(model, admitted)

    async def embed_by_endpoint() -> NodeOutput:
        work = partial(embed, model, texts, limits=place.limits_of(model))
        vectors, tokens = await asyncio.get_running_loop().run_in_executor(EMBEDDING_THREADS, work)
        place.usage.append(AnsweredRequest(model, tokens, 0, admitted))
        return _output(vectors, len(vectors[0]), model.model, tokens)

    return PreparedNode(
        inputs={"texts": len(texts), "model": model.model}, later=embed_by_endpoint, dependency=model.dependency
    )


def _output(vectors: list[list[float]], dimensions: int, model: str, tokens: int = 0) -> NodeOutput:
    rounded = [[round(number, _DIGITS) for number in row] for row in vectors]
    return NodeOutput({"vectors": rounded, "dimensions": dimensions, "model": model}, tokens=tokens)
