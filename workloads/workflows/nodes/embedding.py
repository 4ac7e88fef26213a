"""Nodes of type `embedding`: they turn texts into the vectors that searches in datasets compare."""

from __future__ import annotations

import asyncio
from typing import Final

from scheduling.kit.base import PermanentError
from workloads.documents.embedding_models import require_model
from workloads.documents.tenant_settings import default_model
from workloads.workflows.nodes.knowledge_retrieval import EMBEDDING_THREADS
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode

MAX_TEXTS: Final = 32
# Digits of a number after the point: more than the models have, in a third of the size.
_DIGITS: Final = 7


def prepare(place: NodeContext) -> PreparedNode:
    """Return the embedding, which is done in a thread; raise `PermanentError` unless it is of 1 to 32 texts.

    The model is the one that the node names, else that of new datasets of the tenant.
    """
    given = place.reading.evaluate(place.config["texts"])
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise PermanentError("The texts are neither a text nor a list of texts.", code="texts_invalid")
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise PermanentError(f"There are {len(texts):,} texts; 1 to {MAX_TEXTS} are allowed.", code="texts_invalid")
    model = require_model(place.job.tenant_id, place.config.get("model") or default_model(place.job.settings))
    embedder = model.make()

    async def embed() -> NodeOutput:
        vectors = await asyncio.get_running_loop().run_in_executor(EMBEDDING_THREADS, embedder.embed, texts)
        rounded = [[round(number, _DIGITS) for number in row] for row in vectors.tolist()]
        return NodeOutput({"vectors": rounded, "dimensions": model.dimensions, "model": model.name})

    return PreparedNode(inputs={"texts": len(texts)}, later=embed, dependency=embedder.dependency)
