"""Nodes of type `knowledge_retrieval`: they search a dataset of the tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from scheduling.kit.base import PermanentError
from tenants.context import tenant_context
from tenants.database.prepared import execute, set_config
from workloads.documents.queries import get_dataset
from workloads.documents.search import MAX_QUERY_LENGTH, Found, SearchMode, embed_query, find, finish
from workloads.documents.search_results import Hit
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode

DEFAULT_TOP_K = 5
# Of the process; a slow endpoint of embeddings delays only searches.
_embedding = ThreadPoolExecutor(8, thread_name_prefix="embedding")


def prepare(place: NodeContext) -> PreparedNode:
    """Return the search: it embeds the query in a thread, and only then takes the job's database connection."""
    asked = {
        "dataset": str(_read_id(place.reading.render(place.config["dataset"]))),
        "query": place.reading.render(place.config["query"])[:MAX_QUERY_LENGTH],
        "top_k": place.config.get("top_k", DEFAULT_TOP_K),
        "mode": place.config.get("mode", SearchMode.HYBRID.value),
        "filter": place.config.get("filter"),
    }

    async def search() -> NodeOutput:
        vector = None
        if asked["mode"] != SearchMode.TEXT:
            vector = await asyncio.get_running_loop().run_in_executor(_embedding, embed_query, asked["query"])
        found = await place.job.run(_search, place, asked, vector)
        # Re-ranking asks an endpoint, without the connection.
        hits = await asyncio.get_running_loop().run_in_executor(_embedding, finish, found)
        return _output(hits)

    return PreparedNode(inputs=asked, later=search)


def _read_id(text: str) -> UUID:
    try:
        return UUID(text.strip())
    except ValueError:
        raise PermanentError("The dataset's id is not a UUID.", code="dataset_invalid") from None


def _search(place: NodeContext, asked: dict[str, Any], vector: Any) -> Found:
    # Row-level security hides another tenant's dataset.
    with tenant_context(place.job.tenant_id):
        milliseconds = max(1, int(place.node.timeout_seconds * 1_000))
        execute(*set_config({"statement_timeout": str(milliseconds)}), is_planned=True)
        return find(
            datasets=[get_dataset(UUID(asked["dataset"]))],
            query=asked["query"],
            top_k=asked["top_k"],
            mode=SearchMode(asked["mode"]),
            metadata_filter=asked["filter"],
            vector=vector,
        )


def _output(hits: Sequence[Hit]) -> NodeOutput:
    results = [
        {
            "text": hit.text,
            "score": hit.score,
            "document": hit.chunk.document.name,
            "document_id": str(hit.chunk.document_id),
            "chunk": str(hit.chunk.pk),
            "location": hit.chunk.location,
        }
        for hit in hits
    ]
    return NodeOutput({"results": results, "text": "\n\n".join(result["text"] for result in results)})
