"""Nodes of type `knowledge_retrieval`: they search datasets of the tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final
from uuid import UUID

from scheduling.kit.base import PermanentError
from tenants.context import tenant_context
from tenants.database.prepared import execute, set_config
from workloads.documents.embedding import Embedder
from workloads.documents.queries import get_dataset
from workloads.documents.query_embedding import embed_query, query_embedder
from workloads.documents.search import MAX_QUERY_LENGTH, Found, SearchMode, find, finish
from workloads.documents.search_results import Hit
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode

DEFAULT_TOP_K = 5
# Members of the config that are options of the search, with the names of its arguments.
_OPTIONS: Final = {
    "min_score": "min_score",
    "fold_duplicates": "is_folded",
    "filter": "metadata_filter",
    "rerank": "is_reranked",
}
# Of the process; a slow endpoint of embeddings delays only searches.
EMBEDDING_THREADS: Final = ThreadPoolExecutor(8, thread_name_prefix="embedding")


def prepare(place: NodeContext) -> PreparedNode:
    """Return the search: it embeds the query in a thread, and only then takes the job's database connection."""
    config, render = place.config, place.reading.render
    named = config["datasets"] if "datasets" in config else [config["dataset"]]
    asked = {
        "datasets": list(dict.fromkeys(str(_read_id(render(text))) for text in named)),
        "query": render(config["query"])[:MAX_QUERY_LENGTH],
        "top_k": config.get("top_k", DEFAULT_TOP_K),
        "mode": config.get("mode", SearchMode.HYBRID.value),
        **{name: config[name] for name in _OPTIONS if name in config},
    }

    async def search() -> NodeOutput:
        vectors = {}
        embedders = {} if asked["mode"] == SearchMode.TEXT else await place.job.run(_read_models, place, asked)
        for model, embedder in embedders.items():
            embed = partial(embed_query, embedder, asked["query"])
            vectors[model] = await asyncio.get_running_loop().run_in_executor(EMBEDDING_THREADS, embed)
            place.usage.extend(embedder.take_usage())
        found = await place.job.run(_search, place, asked, vectors)
        # Re-ranking asks an endpoint, without the connection.
        hits = await asyncio.get_running_loop().run_in_executor(EMBEDDING_THREADS, finish, found)
        return _output(hits)

    return PreparedNode(inputs=asked, later=search)


def _read_id(text: str) -> UUID:
    try:
        return UUID(text.strip())
    except ValueError:
        raise PermanentError("The dataset's id is not a UUID.", code="dataset_invalid") from None


def _read_models(place: NodeContext, asked: dict[str, Any]) -> dict[str, Embedder]:
    """Return the embedders of the datasets by the names of their models."""
    with tenant_context(place.job.tenant_id):
        models = sorted({get_dataset(UUID(dataset)).embedding_model for dataset in asked["datasets"]})
        return {model: query_embedder(place.job.tenant_id, model) for model in models}


def _search(place: NodeContext, asked: dict[str, Any], vectors: dict[str, Any]) -> Found:
    # Row-level security hides another tenant's dataset.
    with tenant_context(place.job.tenant_id):
        milliseconds = max(1, int(place.node.timeout_seconds * 1_000))
        execute(*set_config({"statement_timeout": str(milliseconds)}), is_planned=True)
        return find(
            datasets=[get_dataset(UUID(dataset)) for dataset in asked["datasets"]],
            query=asked["query"],
            top_k=asked["top_k"],
            mode=SearchMode(asked["mode"]),
            vectors=vectors,
            **{argument: asked[name] for name, argument in _OPTIONS.items() if name in asked},
        )


def _output(hits: Sequence[Hit]) -> NodeOutput:
    results = [
        {
            "text": hit.text,
            "score": hit.score,
            "document": hit.chunk.document.name,
            "document_id": str(hit.chunk.document_id),
            "dataset_id": str(hit.chunk.document.dataset_id),
            "chunk": str(hit.chunk.pk),
            "location": hit.chunk.location,
        }
        for hit in hits
    ]
    return NodeOutput({"results": results, "text": "\n\n".join(result["text"] for result in results)})
