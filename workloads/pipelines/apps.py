"""The Django app of pipelines. A line in INSTALLED_APPS adds the job kind `rag_pipeline`."""

from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

import workloads.pipelines.platform_settings  # noqa: F401 - declares the keys that this app reads


class RagPipelineConfig(AppConfig):
    """App configuration of the job kind `rag_pipeline`, with its tables, API, admin pages and upkeep tasks."""

    name = "workloads.pipelines"
    label = "rag_pipeline"
    verbose_name = gettext_lazy("Pipelines")
    default_auto_field = "django.db.models.BigAutoField"
    processors = ("workloads.pipelines.processor.RagPipeline",)
    job_pages: ClassVar[dict[str, str]] = {"rag_pipeline": "workloads.pipelines.queries.find_run_page"}
    api_urls = "workloads.pipelines.api.urls"
    upkeep_tasks = "workloads.pipelines.upkeep:TASKS"
    state_checks = "workloads.pipelines.state_checks:CHECKS"
    file_references = "workloads.pipelines.models:FILE_REFERENCES"
