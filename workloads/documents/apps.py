"""The Django app of datasets, documents and chunks."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

import workloads.documents.platform_settings  # noqa: F401 - declares the keys that this app reads
from workloads.documents.limits import LIMITS


class RetrievalConfig(AppConfig):
    """App configuration of datasets, documents, chunks and search."""

    name = "workloads.documents"
    label = "retrieval"
    verbose_name = gettext_lazy("Retrieval")
    default_auto_field = "django.db.models.BigAutoField"
    api_urls = "workloads.documents.api.urls"
    narrowed_routes = (
        *(
            f"dataset-{name}"
            for name in ("list", "detail", "search", "search-several", "reembed", "archive", "unarchive")
        ),
        *(
            f"admin:retrieval_dataset_{name}"
            for name in ("changelist", "change", "add", "act", "search", "reembed", "export")
        ),
    )
    processors = ("workloads.documents.reembedding.processor.DatasetEmbedding",)
    web_preload = "workloads.documents.embedding_models.load_embedder"
    file_references = "workloads.documents.models:FILE_REFERENCES"
    state_checks = "workloads.documents.state_checks:CHECKS"
    limits = LIMITS
    tenant_settings = "workloads.documents.tenant_settings:SETTINGS"

    def ready(self) -> None:
        from workloads.documents import checks  # noqa: F401 - registers on import
