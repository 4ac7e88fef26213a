"""Nodes of type `embedding`: they turn texts into the vectors that searches in datasets compare."""

from __future__ import annotations

import asyncio
from typing import Final

from scheduling.kit.base import PermanentError
from workloads.documents.embedding import DIMENSIONS, get_embedder
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
    embedder = get_embedder()

    async def embed() -> NodeOutput:
        vectors = await asyncio.get_running_loop().run_in_executor(EMBEDDING_THREADS, embedder.embed, texts)
        rounded = [[round(number, _DIGITS) for number in row] for row in vectors.tolist()]
        return NodeOutput({"vectors": rounded, "dimensions": DIMENSIONS, "model": embedder.name})

    return PreparedNode(inputs={"texts": len(texts)}, later=embed, dependency=embedder.dependency)
