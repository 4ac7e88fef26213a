"""The Django app of document indexing. A line in INSTALLED_APPS adds the job kind `document_indexing`."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class DocumentIndexingConfig(AppConfig):
    """App configuration of the kinds `document_indexing` and `dataset_operation`, with API, admin pages and command."""

    name = "workloads.documents.indexing"
    label = "document_indexing"
    verbose_name = gettext_lazy("Document indexing")
    processors = (
        "workloads.documents.indexing.processor.DocumentIndexing",
        "workloads.documents.indexing.dataset_processor.DatasetOperation",
    )
    narrowed_routes = (
        *(f"dataset-{name}" for name in ("documents", "text", "address", "reindex", "preview", "disable", "enable")),
        *(f"document-{name}" for name in ("list", "detail", "pause", "resume", "retry", "reindex", "replace")),
        *(
            f"admin:retrieval_document_{name}"
            for name in ("changelist", "change", "act", "upload", "reindex", "preview", "export")
        ),
    )
    api_urls = "workloads.documents.indexing.api.urls"
    tenant_settings = "workloads.documents.indexing.tenant_settings:SETTINGS"
