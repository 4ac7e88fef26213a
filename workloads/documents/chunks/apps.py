"""The Django app of chunks' pages and API. A line in INSTALLED_APPS adds the job kind `chunk_embedding`."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class DocumentChunksConfig(AppConfig):
    """App configuration of the job kind `chunk_embedding`, with the API and the admin page of chunks."""

    name = "workloads.documents.chunks"
    label = "document_chunks"
    verbose_name = gettext_lazy("Document chunks")
    processors = ("workloads.documents.chunks.processor.ChunkEmbedding",)
    narrowed_routes = (
        *(f"{parent}-chunks" for parent in ("dataset", "document")),
        "document-text",
        *(f"chunk-{name}" for name in ("detail", "versions", "add-after", "split", "merge", "embed", "restore")),
        *(
            f"admin:retrieval_chunk_{name}"
            for name in ("changelist", "change", "act", "export", "add_after", "split", "restore", "text")
        ),
    )
    api_urls = "workloads.documents.chunks.api.urls"
