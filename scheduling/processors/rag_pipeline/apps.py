"""The plug-in's app: one line in INSTALLED_APPS adds the kind, and removes it."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class RagPipelineConfig(AppConfig):
    """The kind rag_pipeline with its tables, API, admin and upkeep."""

    name = "scheduling.processors.rag_pipeline"
    label = "rag_pipeline"
    verbose_name = gettext_lazy("Pipelines")
    default_auto_field = "django.db.models.BigAutoField"
    processors = ("scheduling.processors.rag_pipeline.processor.RagPipeline",)
    api_urls = "scheduling.processors.rag_pipeline.api.urls"
    upkeep_tasks = "scheduling.processors.rag_pipeline.upkeep:TASKS"
    state_checks = "scheduling.processors.rag_pipeline.state_checks:CHECKS"
    file_references = "scheduling.processors.rag_pipeline.models:FILE_REFERENCES"
