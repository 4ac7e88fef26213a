"""The Django app of sources of documents. A line in INSTALLED_APPS adds the job kind `document_sync`."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class DocumentSourcesConfig(AppConfig):
    """App configuration of the job kind `document_sync`, with its API, admin pages and connectors."""

    name = "workloads.documents.sources"
    label = "document_sources"
    verbose_name = gettext_lazy("Document sources")
    default_auto_field = "django.db.models.BigAutoField"
    processors = ("workloads.documents.sources.processor.DocumentSync",)
    document_connectors = (
        "workloads.documents.sources.connectors.s3.S3Connector",
        "workloads.documents.sources.connectors.sitemap.SitemapConnector",
    )
    narrowed_routes = (
        *(f"document-source-{name}" for name in ("list", "detail", "sync", "items")),
        *(f"admin:document_sources_contentsource_{name}" for name in ("changelist", "add", "change", "act", "export")),
        *(f"admin:document_sources_sourceitem_{name}" for name in ("changelist", "change", "export")),
    )
    api_urls = "workloads.documents.sources.api.urls"
