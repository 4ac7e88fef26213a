"""App of document indexing: one line in INSTALLED_APPS adds the kind, and removes it."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class DocumentIndexingConfig(AppConfig):
    """The kind document_indexing with its API, admin and command."""

    name = "workloads.documents.indexing"
    label = "document_indexing"
    verbose_name = gettext_lazy("Document indexing")
    processors = ("workloads.documents.indexing.processor.DocumentIndexing",)
    api_urls = "workloads.documents.indexing.api.urls"
    tenant_settings = "workloads.documents.indexing.tenant_settings:SETTINGS"
