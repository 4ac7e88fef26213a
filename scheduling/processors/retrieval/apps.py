"""The app of datasets, documents and chunks."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

from scheduling.processors.retrieval.limits import LIMITS


class RetrievalConfig(AppConfig):
    """Datasets, documents, chunks and search."""

    name = "scheduling.processors.retrieval"
    label = "retrieval"
    verbose_name = gettext_lazy("Retrieval")
    default_auto_field = "django.db.models.BigAutoField"
    api_urls = "scheduling.processors.retrieval.api.urls"
    file_references = "scheduling.processors.retrieval.models:FILE_REFERENCES"
    state_checks = "scheduling.processors.retrieval.state_checks:CHECKS"
    limits = LIMITS
    tenant_settings = "scheduling.processors.retrieval.tenant_settings:SETTINGS"
