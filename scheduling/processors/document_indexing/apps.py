"""The plug-in's app: one line in INSTALLED_APPS adds the kind, and removes it."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class DocumentIndexingConfig(AppConfig):
    """The kind document_indexing with its API, admin and command."""

    name = "scheduling.processors.document_indexing"
    label = "document_indexing"
    verbose_name = gettext_lazy("Document indexing")
    processors = ("scheduling.processors.document_indexing.processor.DocumentIndexing",)
    api_urls = "scheduling.processors.document_indexing.api.urls"
    tenant_settings = "scheduling.processors.document_indexing.tenant_settings:SETTINGS"
